// What HTML and HTMX cannot do: the slider's places, and the pictures of an image side by side. It computes no number.
document.documentElement.classList.add("scripted");

// The slider shows one of the places that the page already holds.
for (const section of document.querySelectorAll("[data-slider]")) {
  const input = section.querySelector("input[type=range]");
  const places = [...section.querySelectorAll("[data-place]")];
  const dots = [...section.querySelectorAll("[data-dot]")];
  const show = () => {
    for (const place of places) place.hidden = place.dataset.place !== input.value;
    for (const dot of dots) dot.classList.toggle("off", dot.dataset.dot !== input.value);
    const chosen = places[Number(input.value)];
    input.setAttribute("aria-valuetext", chosen.dataset.text);
    input.setAttribute("aria-describedby", chosen.id);
    section.querySelector("[data-chosen-place]").value = input.value;
    section.querySelector("[data-propose]").hidden = input.value === input.defaultValue; // that one is there already
  };
  input.addEventListener("input", show);
  show(); // the browser may have kept another place over a reload
}

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) window.print();
});

// Where this page's own server does not answer, htmx has nothing to put there. Whatever asks again and again goes on.
document.addEventListener("htmx:sendError", (event) => {
  event.detail.target.textContent = "This page’s server does not answer. Reload the page to try again.";
});

// The dialog: all panes share one transform, so that they show the same place of the part.
const dialog = document.getElementById("zoom");
if (dialog) {
  const panes = dialog.querySelector(".panes");
  const steps = { in: 1.5, out: 1 / 1.5 };
  const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
  const pointers = new Map();
  let opener = null;
  let view = { scale: 1, x: 0, y: 0 };

  const draw = () => {
    panes.style.setProperty("--scale", view.scale);
    panes.style.setProperty("--x", `${view.x}px`);
    panes.style.setProperty("--y", `${view.y}px`);
    panes.classList.toggle("closer", view.scale > 3);
  };
  const fit = () => { view = { scale: 1, x: 0, y: 0 }; draw(); };
  // Around a point that is given from the centre of a pane.
  const zoom = (factor, x = 0, y = 0) => {
    const scale = Math.min(24, Math.max(1, view.scale * factor));
    const real = scale / view.scale;
    view = scale === 1 ? { scale, x: 0, y: 0 } : { scale, x: x + (view.x - x) * real, y: y + (view.y - y) * real };
    draw();
  };
  const move = (x, y) => { view.x += x; view.y += y; draw(); };
  const shots = () => [...opener.closest("ul").querySelectorAll("[data-zoom]")];

  // As many columns as make the panes largest.
  const arrange = (count) => {
    const side = (columns) => Math.min(panes.clientWidth / columns, panes.clientHeight / Math.ceil(count / columns));
    const columns = [1, 2, 3, 4].filter((number) => number <= count).sort((one, other) => side(other) - side(one))[0];
    panes.style.setProperty("--columns", columns);
  };

  const show = (shot) => {
    opener = shot;
    const pictures = shot.dataset.pictures.split(" ");
    document.getElementById("zoom-name").textContent = `${shot.dataset.name} (${shot.dataset.kind})`;
    for (const figure of panes.querySelectorAll("[data-pane]")) {
      const what = figure.dataset.pane;
      figure.hidden = !pictures.includes(what);
      figure.querySelector("img").src = figure.hidden ? "data:," : `${shot.dataset.base}${what}.webp`;
      const says = shot.dataset[what];
      figure.querySelector("[data-says]").textContent = says ? `: ${says}` : "";
    }
    arrange(pictures.length);
    fit();
  };
  const step = (by) => {
    const all = shots();
    const next = all[all.indexOf(opener) + by];
    if (next) { next.scrollIntoView({ block: "nearest" }); show(next); }
  };
  const act = (what) => {
    if (what === "close") dialog.close();
    else if (what === "fit") fit();
    else if (what === "next") step(1);
    else if (what === "previous") step(-1);
    else zoom(steps[what]);
  };

  document.addEventListener("click", (event) => {
    const shot = event.target.closest("[data-zoom]");
    if (shot) { dialog.showModal(); show(shot); panes.focus(); }
  });
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) act(button.dataset.do);
  });
  window.addEventListener("resize", () => { if (dialog.open) arrange(opener.dataset.pictures.split(" ").length); });
  dialog.addEventListener("close", () => opener?.focus());
  dialog.addEventListener("keydown", (event) => {
    const keys = { "+": "in", "=": "in", "-": "out", "0": "fit", PageDown: "next", PageUp: "previous" };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) move(...moves[event.key]);
    else if (keys[event.key]) act(keys[event.key]);
    else return;
    event.preventDefault();
  });

  const fromCentre = (event) => {
    const box = (event.target.closest(".pane") ?? panes.querySelector(".pane")).getBoundingClientRect();
    return [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
  };
  panes.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1.2 : 1 / 1.2, ...fromCentre(event));
  }, { passive: false });
  const distance = () => {
    const [first, second] = [...pointers.values()];
    return Math.hypot(first.x - second.x, first.y - second.y);
  };
  panes.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    panes.setPointerCapture(event.pointerId);
  });
  panes.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const apart = pointers.size === 2 ? distance() : 0;
    pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (pointers.size === 1) move(event.clientX - before.x, event.clientY - before.y);
    else if (apart) zoom(distance() / apart);
  });
  for (const name of ["pointerup", "pointercancel"]) panes.addEventListener(name, (event) => pointers.delete(event.pointerId));
}
