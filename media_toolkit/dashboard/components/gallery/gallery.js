// Streamlit calls the default export again at every change of data: what lives longer is here.
const galleries = new WeakMap();

export default function ({ data, parentElement, setStateValue, setTriggerValue }) {
  let gallery = galleries.get(parentElement);
  if (!gallery) {
    gallery = new Gallery(parentElement);
    galleries.set(parentElement, gallery);
  }
  let isShown = false;
  // While this module is on its way, Streamlit can call with older data after the newer ones; it
  // then ends that call at once, before any timer.
  const showing = setTimeout(() => {
    isShown = true;
    gallery.report = (selection) => setStateValue("selection", selection);
    gallery.open = (id) => setTriggerValue("opened", id);
    gallery.show(data);
  });
  return () => {
    if (isShown) gallery.end();
    else clearTimeout(showing);
  };
}

class Gallery {
  constructor(parentElement) {
    this.list = parentElement.querySelector(".tiles");
    this.root = parentElement.querySelector(".media-toolkit-gallery");
    this.view = null;
    this.drawn = "";
    this.tiles = [];
    this.selected = new Set();
    this.current = 0;
    this.anchor = 0;
    this.timer = 0;
    this.list.setAttribute("aria-describedby", "gallery-keys");
    this.list.onclick = (event) => this.clicked(event);
    this.list.ondblclick = (event) => this.withTile(event, (index) => this.openAt(index));
    this.list.onkeydown = (event) => this.pressed(event);
  }

  show({ view, tiles }) {
    if (view !== this.view) {
      this.end();
      this.selected.clear();
      this.current = this.anchor = 0;
      // A page further begins at its top, but the first one stays where the reader is.
      const header = parseFloat(getComputedStyle(this.root).scrollMarginTop);
      if (this.view !== null && this.root.getBoundingClientRect().top < header) {
        this.root.scrollIntoView({ block: "start" });
      }
      this.view = view;
    }
    const drawn = JSON.stringify(tiles);
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      this.tiles = tiles;
      const ids = new Set(tiles.map((tile) => tile.id));
      const kept = [...this.selected].filter((id) => ids.has(id));
      const isLess = kept.length < this.selected.size;
      this.selected = new Set(kept);
      this.current = Math.max(0, Math.min(this.current, tiles.length - 1));
      this.list.replaceChildren(...tiles.map(drawTile));
      // Else an asset that comes back would be selected for the session alone.
      if (isLess) this.changed();
    }
    this.mark();
  }

  mark() {
    [...this.list.children].forEach((tile, index) => {
      tile.setAttribute("aria-selected", String(this.selected.has(this.tiles[index].id)));
      tile.tabIndex = index === this.current ? 0 : -1;
    });
  }

  withTile(event, act) {
    const tile = event.target.closest(".tile");
    if (tile) act([...this.list.children].indexOf(tile));
  }

  clicked(event) {
    this.withTile(event, (index) => {
      this.current = index;
      if (event.target.closest(".open")) {
        // From the dialog the focus comes back to it, and the arrow keys go on.
        this.list.children[index].focus();
        return this.openAt(index);
      }
      if (event.shiftKey) this.selectRange(index);
      else this.toggle(index);
    });
  }

  toggle(index) {
    const { id } = this.tiles[index];
    if (!this.selected.delete(id)) this.selected.add(id);
    this.anchor = index;
    this.changed();
  }

  selectRange(index) {
    const [from, to] = [Math.min(this.anchor, index), Math.max(this.anchor, index)];
    for (const { id } of this.tiles.slice(from, to + 1)) this.selected.add(id);
    this.changed();
  }

  changed() {
    this.mark();
    clearTimeout(this.timer);
    // One rerun for several quick clicks.
    this.timer = setTimeout(() => this.send(), 150);
  }

  send() {
    this.timer = 0;
    this.report({ view: this.view, ids: [...this.selected] });
  }

  openAt(index) {
    if (this.timer) {
      clearTimeout(this.timer);
      this.send();
    }
    this.open(this.tiles[index].id);
  }

  pressed(event) {
    if (event.target.closest(".open")) return;
    const columns = getComputedStyle(this.list).gridTemplateColumns.split(" ").length;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns, ArrowUp: -columns };
    if (event.key in steps) this.moveTo(this.current + steps[event.key]);
    else if (event.key === "Home") this.moveTo(0);
    else if (event.key === "End") this.moveTo(this.tiles.length - 1);
    else if (event.key === " ") this.toggle(this.current);
    else if (event.key === "Enter") this.openAt(this.current);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  moveTo(index) {
    if (index < 0 || index >= this.tiles.length) return;
    this.current = index;
    this.mark();
    this.list.children[index].focus();
  }

  end() {
    clearTimeout(this.timer);
    this.timer = 0;
  }
}

function drawTile(tile) {
  const frame = element("div", "frame");
  const placeholder = element("div", "placeholder", tile.label);
  frame.append(placeholder);
  if (tile.thumbnail) frame.append(drawPicture(tile, placeholder));
  if (tile.is_video) frame.append(element("span", "play"));
  const open = element("button", "open", "Open");
  open.type = "button";
  open.tabIndex = -1;
  // An option has no buttons in it for a screen reader; Enter does the same.
  open.setAttribute("aria-hidden", "true");
  frame.append(element("span", "mark"), open);

  const drawn = element("div", "tile");
  const name = element("div", "name", tile.name);
  name.dir = "auto";
  drawn.append(frame, name, element("div", "facts", tile.facts));
  drawn.title = tile.names;
  drawn.setAttribute("role", "option");
  drawn.setAttribute("aria-label", `${tile.name}, ${tile.facts}`);
  return drawn;
}

function drawPicture(tile, placeholder) {
  const picture = element("img");
  picture.alt = "";
  picture.loading = "lazy";
  picture.decoding = "async";
  picture.draggable = false;
  placeholder.hidden = true;
  picture.onload = () => picture.classList.add("loaded");
  picture.onerror = () => {
    picture.remove();
    placeholder.hidden = false;
    placeholder.append(element("small", "", "no preview"));
  };
  picture.src = tile.thumbnail;
  return picture;
}

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
