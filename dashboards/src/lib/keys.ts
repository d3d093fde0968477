/** Single keys act only where nobody is typing and no dialog is open (WCAG 2.1.4: they can also be turned off). */
export type KeyMap = Partial<Record<string, () => void>>;

export function handleKeys(pressed: KeyboardEvent, keys: KeyMap): void {
  if (pressed.defaultPrevented || pressed.ctrlKey || pressed.metaKey || pressed.altKey || pressed.isComposing) return;
  if (document.querySelector('dialog[open]')) return;
  const target = pressed.target;
  if (target instanceof HTMLElement && target.closest('input, textarea, select, [contenteditable]')) return;
  const act = keys[pressed.key.length === 1 ? pressed.key.toLowerCase() : pressed.key];
  if (!act) return;
  pressed.preventDefault();
  act();
}
