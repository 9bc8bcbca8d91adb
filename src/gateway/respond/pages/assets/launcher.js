// The search field. Without this there is none, and every application is shown.
(function () {
  "use strict";
  var box = document.querySelector(".search");
  var input = document.querySelector(".search input");
  var found = document.querySelector(".search [role=status]");
  var tiles = Array.prototype.slice.call(document.querySelectorAll(".tiles > li"));
  if (!box || !input || !found) {
    return;
  }
  function plain(text) {
    return text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLocaleLowerCase();
  }
  var texts = tiles.map(function (tile) {
    // The letter is no part of a name.
    return plain(Array.prototype.map.call(tile.querySelectorAll("strong,span.text,small"), function (part) {
      return part.textContent;
    }).join(" "));
  });
  function filter() {
    var words = plain(input.value).split(/\s+/).filter(Boolean);
    var count = 0;
    tiles.forEach(function (tile, at) {
      var fits = words.every(function (word) {
        return texts[at].indexOf(word) !== -1;
      });
      tile.hidden = !fits;
      count += fits ? 1 : 0;
    });
    found.textContent = words.length ? found.dataset.found.replace("{count}", String(count)) : "";
  }
  input.addEventListener("input", filter);
  input.addEventListener("keydown", function (event) {
    if (event.key === "Enter" && !event.isComposing) {
      var left = tiles.filter(function (tile) {
        return !tile.hidden;
      });
      if (left.length === 1) {
        left[0].querySelector("a").click();
      }
    }
  });
  box.hidden = false;
  // What the browser filled in again on the way back.
  filter();
})();
