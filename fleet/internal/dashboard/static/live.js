"use strict";
// Follows the content of a page by server-sent events. Where a browser cannot,
// or runs no scripts, the page is as it was when it was loaded.
(() => {
  const region = document.getElementById("live");
  const status = document.getElementById("live-status");
  if (!region || !region.dataset.live || !window.EventSource) return;
  const say = (text) => {
    if (status.textContent !== text) status.textContent = text;
  };
  // The user's place stays: what has the focus, what is unfolded, what was typed.
  const replace = (html) => {
    const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
    if (focused && /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return false;
    const unfolded = [...region.querySelectorAll("details[open]")].map((d) => d.id).filter(Boolean);
    region.innerHTML = html;
    for (const id of unfolded) {
      const d = document.getElementById(id);
      if (d) d.open = true;
    }
    if (focused) document.getElementById(focused)?.focus();
    return true;
  };
  const source = new EventSource(region.dataset.live);
  source.onopen = () => say("Live: this page follows what happens.");
  source.onerror = () => say("The connection was lost; trying again. What is shown may be old.");
  source.addEventListener("content", (event) => {
    if (replace(event.data)) region.dataset.updates = String(Number(region.dataset.updates || 0) + 1);
  });
  source.addEventListener("end", () => {
    source.close();
    location.reload();
  });
  addEventListener("pagehide", () => source.close());
})();
