// Back from sign-in: on to the page, with the fragment that was kept.
(function () {
  "use strict";
  var main = document.querySelector("main[data-state]");
  var link = document.querySelector("a[data-go]");
  if (!main || !link || link.origin !== location.origin) {
    return;
  }
  var fragment = "";
  try {
    var key = "appproxy-" + main.dataset.state;
    fragment = sessionStorage.getItem(key) || "";
    sessionStorage.removeItem(key);
  } catch (e) {
    // No storage, no fragment.
  }
  if (main.hasAttribute("data-clear")) {
    // What the application's pages stored was for another person.
    try {
      sessionStorage.clear();
      localStorage.clear();
    } catch (e) {
      // Nothing can be stored, so nothing is.
    }
  }
  if (fragment.charAt(0) === "#") {
    // As a part of the URL, so that it can be nothing but a fragment.
    link.hash = fragment;
  }
  location.replace(link.href);
})();
