/**
 * The time in the id of a backup or restore, e.g. `20261123T034813Z`: to the second, and it sorts as time does.
 *
 * @param at ISO 8601 in UTC
 */
export function timeInId(at: string): string {
  return at.replace(/\.\d+/, '').replaceAll(/[-:]/g, '');
}
