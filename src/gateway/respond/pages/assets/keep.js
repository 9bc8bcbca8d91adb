// A fragment never reaches a server: it is kept in this tab until the person is back.
(function () {
  "use strict";
  var main = document.querySelector("main[data-state]");
  var link = document.querySelector("a[data-go]");
  if (!main || !link || !/^https?:$/.test(link.protocol)) {
    return;
  }
  try {
    if (location.hash.length > 1) {
      sessionStorage.setItem("appproxy-" + main.dataset.state, location.hash);
    }
  } catch (e) {
    // No storage, or no room: signing in matters more.
  }
  location.replace(link.href);
})();
