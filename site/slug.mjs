/**
 * The anchor of a heading, as the hosts of Git repositories make it, so that a link to a heading works there and on the site alike.
 *
 * @param {string} heading without markup
 */
export function slugOf(heading) {
  return heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, '')
    .replaceAll(' ', '-');
}
