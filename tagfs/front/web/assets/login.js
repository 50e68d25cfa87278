// The log-in page: a name and a password become a session, and then back to where one wanted to go.

import * as api from "./api.js";
import { byId } from "./elements.js";

// Only ever a place of this site: whoever made the link may have put in another.
function goOn() {
  const wanted = new URL(new URLSearchParams(location.search).get("next") || "/", location.origin);
  const place = wanted.origin === location.origin ? wanted.pathname + wanted.search : "/";
  location.replace(place + location.hash);
}

function say(text) {
  byId("fault").textContent = text;
  byId("fault").hidden = !text;
}

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  say("");
  try {
    await api.logIn(byId("name").value, byId("password").value);
    goOn();
  } catch (problem) {
    say(problem.message);
    button.disabled = false;
    byId("password").select();
  }
});

// Nothing to do here for who is logged in already, or needs not.
api.session().then((now) => { if (now.name || !now.users) goOn(); }).catch(() => {});
