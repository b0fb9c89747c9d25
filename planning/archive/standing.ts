import { formatDuration } from '../../model/amounts.ts';
import type { ArchiveStanding } from '../../model/archive-standing.ts';

/**
 * How far the archive is behind its source, milliseconds. While nothing is committed, its end moves once a minute.
 *
 * @param at when the repository was read
 */
export function archiveLagMs({ to }: ArchiveStanding, at: Date): number {
  return Math.max(0, at.getTime() - Date.parse(to));
}

/**
 * Window, lag, proof and holes of one database's archive, for people, a line each. Pure.
 *
 * @param at when the repository was read, which may be a while ago
 */
export function archiveLines(standing: ArchiveStanding, at: Date): readonly string[] {
  const { database, from, to, provedTo, isEnded, holes, holesInAll } = standing;
  const state = isEnded
    ? 'ENDED'
    : `${formatDuration(archiveLagMs(standing, at))} behind at ${at.toISOString()}`;
  const proved = provedTo === undefined ? 'not proved' : `proved up to ${provedTo}`;
  const more = holesInAll - holes.length;
  return [
    `archive of ${database}: ${from} to ${to}, ${state}, ${proved}`,
    ...holes.map(
      (hole) => `hole in the archive of ${database}, ${hole.from} to ${hole.to ?? 'now'}: ${hole.reason}`,
    ),
    ...(more > 0 ? [`${more} older holes: holdfast window`] : []),
  ];
}
