// Of this tab alone; the browser forgets it with the tab.
const PLACE = "media_toolkit_asked_for";

export default function ({ data }) {
  if (data.is_closed) {
    sessionStorage.setItem(PLACE, location.pathname + location.search);
    return;
  }
  const asked = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  if (asked && asked !== location.pathname + location.search) location.replace(location.origin + asked);
}
