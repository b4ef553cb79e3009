export default function ({ data, parentElement }) {
  // As in the gallery: a call with data of before is ended at once.
  const showing = setTimeout(() => show(data, parentElement));
  return () => clearTimeout(showing);
}

function show(data, parentElement) {
  const list = parentElement.querySelector(".renditions");
  const drawn = JSON.stringify(data);
  if (list.dataset.drawn === drawn) return;
  list.dataset.drawn = drawn;
  list.replaceChildren(...data.renditions.map(draw));
  const original = parentElement.querySelector(".original");
  original.replaceChildren(element("p", "", "Original"), address(data.original, "the original"));
}

function draw({ label, url, stand_in }) {
  const frame = element("div", "frame");
  const picture = element("img");
  picture.alt = label;
  // The first look at a large asset takes Cloudinary seconds.
  frame.ariaBusy = "true";
  picture.onload = () => (frame.ariaBusy = "false");
  picture.onerror = () => {
    frame.ariaBusy = "false";
    frame.replaceChildren(element("div", "stand-in", `${stand_in}: no preview`));
  };
  picture.src = url;
  frame.append(picture);

  const figure = element("figure");
  figure.append(frame, element("figcaption", "", label), address(url, label));
  return figure;
}

function address(url, label) {
  const code = element("code", "", url);
  code.title = url;
  const copy = element("button", "", "Copy");
  copy.type = "button";
  copy.setAttribute("aria-label", `Copy the URL of ${label}`);
  copy.onclick = () => copyText(url, code, copy);
  const visit = element("a", "", "Visit");
  visit.href = url;
  visit.target = "_blank";
  visit.rel = "noreferrer";
  visit.setAttribute("aria-label", `Visit the URL of ${label}`);
  const made = element("div", "address");
  made.append(code, copy, visit);
  return made;
}

async function copyText(text, code, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Over plain HTTP from another machine browsers have no clipboard: select it instead.
    getSelection().selectAllChildren(code);
    button.textContent = "Ctrl+C";
  }
  setTimeout(() => (button.textContent = "Copy"), 1600);
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
