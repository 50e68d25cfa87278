"""Contents that are only versions by the time their entry comes are owed like any other."""

from __future__ import annotations

from tagfs.model.principal import OWNER
from tests.sim.cluster import SimCluster


def test_a_version_that_came_without_its_content_is_fetched():
    """Who was cut off while a content was stored and replaced gets both."""
    cluster = SimCluster(3, moves_contents=True)
    cluster.run(1)
    cluster.network.sever(["n1", "n2"], ["n3"])
    cluster.hold_for_dead("n3")
    added = cluster.wait(cluster.store(cluster[1], "a", data=b"first"))

    async def replace():
        receiving = await cluster[2].node.receive(OWNER, 6)
        receiving.write(b"second")
        return await receiving.replace(added.id)

    cluster.run(1)
    cluster.wait(replace())
    cluster[1].stop()
    cluster[1].start()
    cluster[2].stop()
    cluster[2].start()
    cluster.network.heal()
    cluster.hold_for_dead()
    cluster.until(lambda: sorted(cluster[3].blobs.contents.values()) == [b"first", b"second"], 30)
    cluster.stop()
