// The API key of this tab: kept in sessionStorage alone, asked for where the server answers 401, and sent with every request.

const NAME = "herd.key";

export function keyHeaders() {
  const key = sessionStorage.getItem(NAME);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

// Shows the form, once. `onKey` is called when a key was given.
export function askForKey(onKey) {
  const form = document.getElementById("key-form");
  const field = document.getElementById("key");
  if (!form.hidden) return;
  if (sessionStorage.getItem(NAME)) document.getElementById("key-note").textContent = "The server does not take this key.";
  form.hidden = false;
  field.value = "";
  field.focus();
  form.onsubmit = (event) => {
    event.preventDefault();
    const key = field.value.trim();
    if (!key) return;
    sessionStorage.setItem(NAME, key);
    field.value = "";
    form.hidden = true;
    onKey();
  };
}

export function hideKeyForm() {
  document.getElementById("key-form").hidden = true;
}
