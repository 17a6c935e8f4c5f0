// Follows the ledger: after each change, the page is fetched again and its changed parts are replaced.
"use strict";

(() => {
  const address = document.body.dataset.events;
  const live = document.getElementById("live");
  const shown = new Map(); // the markup of each part as the server sent it last
  let source = null;
  let busy = false;
  let again = false;

  const twoDigits = (number) => String(number).padStart(2, "0");
  const localTimes = (root) => {
    for (const element of root.querySelectorAll("time")) {
      const at = new Date(element.dateTime);
      const day = [at.getFullYear(), twoDigits(at.getMonth() + 1), twoDigits(at.getDate())].join("-");
      const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(twoDigits).join(":");
      const isToday = at.toDateString() === new Date().toDateString();
      element.title = element.textContent;
      element.textContent = isToday ? time : `${day} ${time}`;
    }
  };

  // A part is not replaced while you type in it.
  const isEdited = (part) =>
    [...part.querySelectorAll("textarea, input:not([type=hidden])")].some(
      (field) => field.value !== field.defaultValue || field === document.activeElement,
    );

  const replace = (part, fresh) => {
    const open = new Map([...part.querySelectorAll("details[id]")].map((each) => [each.id, each.open]));
    const focused = part.contains(document.activeElement) ? document.activeElement : null;
    const place = focused && [...part.querySelectorAll("a, button, summary, [tabindex]")].indexOf(focused);
    const scrolled = [...part.querySelectorAll(".scroll")].map((each) => [each.scrollLeft, each.scrollTop]);
    part.replaceChildren(...fresh.childNodes);
    for (const each of part.querySelectorAll("details[id]")) {
      if (open.has(each.id)) each.open = open.get(each.id);
    }
    part.querySelectorAll(".scroll").forEach((each, index) => {
      if (scrolled[index]) [each.scrollLeft, each.scrollTop] = scrolled[index];
    });
    if (focused) part.querySelectorAll("a, button, summary, [tabindex]")[place]?.focus({ preventScroll: true });
    localTimes(part);
  };

  const explain = (text) => {
    const notice = document.createElement("p");
    notice.className = "notice failed";
    notice.id = "trouble";
    notice.textContent = text;
    document.getElementById("trouble")?.remove();
    document.getElementById("notices").append(notice);
  };

  const update = (html, isPage) => {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    if (!isPage) {
      explain(fresh.getElementById("message")?.innerText.trim() || "The page cannot be shown now.");
      return;
    }
    document.getElementById("trouble")?.remove();
    for (const part of document.querySelectorAll("[data-live]")) {
      const now = fresh.getElementById(part.id);
      if (now && now.innerHTML !== shown.get(part.id) && !isEdited(part)) {
        shown.set(part.id, now.innerHTML);
        replace(part, now);
      }
    }
  };

  // The longer a page takes, the less often it is fetched, so that the run keeps the machine.
  const refresh = async () => {
    again = true;
    if (busy) return;
    busy = true;
    while (again) {
      again = false;
      const began = performance.now();
      try {
        const answer = await fetch(location.href, { headers: { "X-Refresh": "1" }, cache: "no-store" });
        update(await answer.text(), answer.ok);
      } catch {
        explain("batchcrew ui has ended, so this page is not live any more. Start it again.");
      }
      await new Promise((done) => setTimeout(done, Math.max(250, 8 * (performance.now() - began))));
    }
    busy = false;
  };

  const connect = () => {
    source = new EventSource(address);
    source.onopen = () => {
      live.hidden = false;
      refresh();
    };
    source.addEventListener("changed", refresh);
    source.onerror = () => {
      live.hidden = true;
      explain("The connection to batchcrew ui is lost; trying again.");
    };
  };

  localTimes(document);
  if (address !== undefined) {
    for (const part of document.querySelectorAll("[data-live]")) shown.set(part.id, "");
    const follow = () => {
      if (document.hidden) {
        source?.close();
        source = null;
      } else if (!source) connect();
    };
    document.addEventListener("visibilitychange", follow);
    follow();
  }
})();
