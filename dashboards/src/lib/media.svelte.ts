/** What the screen is like, as a value that follows it. */
class Media {
  matches = $state(false);

  constructor(query: string) {
    const list = matchMedia(query);
    this.matches = list.matches;
    // For the life of the page: there is one of each question.
    list.addEventListener('change', () => (this.matches = list.matches));
  }
}

/** One thing at a time; the same width as in the styles of the pages. */
export const narrow = new Media('(max-width: 1250px)');
export const phone = new Media('(max-width: 760px)');
export const reducedMotion = new Media('(prefers-reduced-motion: reduce)');
