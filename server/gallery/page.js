// Makes the elements, texts and buttons of all pages. Everything that comes from outside is inserted as text.
const $ = (id) => document.getElementById(id);

/** An element with text and attributes. The text is never parsed as HTML. */
function make(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function show(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
  $(id).hidden = !text && id === "problem";
}

const turns = new Map();

/** Take the newest turn at a place of the page. The function that comes back says whether it still is the newest. */
function newest(place) {
  const mine = (turns.get(place) ?? 0) + 1;
  turns.set(place, mine);
  return () => turns.get(place) === mine;
}

/** A button. Screen readers also read `about`, which says what the button is for, after the visible text. */
function button(label, about, act) {
  const made = make("button", label, { type: "button", "aria-label": `${label}: ${about}` });
  made.addEventListener("click", async () => {
    made.disabled = true;
    try {
      await act();
    } catch (error) {
      show("said", `That did not work: ${error.message}`);
    } finally {
      made.disabled = false;
    }
  });
  return made;
}
