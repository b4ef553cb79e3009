// Of this tab alone; the browser forgets it with the tab.
const PLACE = "media_toolkit_asked_for";

export default function ({ data }) {
  if (data.is_closed) {
    sessionStorage.setItem(PLACE, location.pathname + location.search);
    return;
  }
  const asked = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  // Who is anywhere but home by now has gone there since.
  const isHome = location.pathname.endsWith("/") && !location.search;
  if (asked && isHome && asked !== location.pathname) location.replace(location.origin + asked);
}
