// Follows the ledger: after each change, the page is fetched again and its changed parts are replaced.
"use strict";

(() => {
  const address = document.body.dataset.events;
  const live = document.getElementById("live");
  const shown = new Map(); // the markup of each part as the server sent it last
  let source = null;

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

  // Shows what the server answered; only the given parts are replaced.
  const update = (html, isPage, parts) => {
    const fresh = new DOMParser().parseFromString(html, "text/html");
    if (!isPage) {
      explain(fresh.getElementById("message")?.innerText.trim() || "The page cannot be shown now.");
      return;
    }
    document.getElementById("trouble")?.remove();
    for (const part of parts) {
      const now = fresh.getElementById(part.id);
      if (now && now.innerHTML !== shown.get(part.id) && !isEdited(part)) {
        shown.set(part.id, now.innerHTML);
        replace(part, now);
      }
    }
  };

  const RETRY_MILLISECONDS = 2000;

  // Returns a function that fetches parts of the page. The longer that takes, the less often it is done, so that the
  // run keeps the machine.
  const fetcher = (url, parts, least, factor) => {
    let busy = false;
    let again = false;
    const refetch = async () => {
      again = true;
      if (busy) return;
      busy = true;
      while (again) {
        again = false;
        const began = performance.now();
        try {
          const answer = await fetch(url, { headers: { "X-Refresh": "1" }, cache: "no-store" });
          update(await answer.text(), answer.ok, parts);
          // what was wrong may be over before the server has noticed a change
          if (!answer.ok) setTimeout(refetch, RETRY_MILLISECONDS);
        } catch {
          explain("batchcrew ui has ended, so this page is not live any more. Start it again.");
        }
        await new Promise((done) => setTimeout(done, Math.max(least, factor * (performance.now() - began))));
      }
      busy = false;
    };
    return refetch;
  };

  const fetchers = [];
  const refresh = () => fetchers.forEach((fetch) => fetch());
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
    const live = [...document.querySelectorAll("[data-live]")];
    if (live.length) fetchers.push(fetcher(location.href, live, 250, 8));
    for (const part of document.querySelectorAll("[data-part]")) {
      fetchers.push(fetcher(part.dataset.part, [part], 2000, 20));
    }
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
