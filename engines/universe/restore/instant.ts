import { permanent } from '../../../model/errors.ts';
import { windowOf } from '../../../model/history-window.ts';
import type { UniverseRestore } from './context.ts';

/**
 * Refuses an instant that the backup's snapshots can't restore reliably. YugabyteDB doesn't check "whether the target time is recoverable": it
 * would restore something, and report success.
 *
 * @throws HoldfastError `INSTANT_NOT_IN_HISTORY`, `INSTANT_BEFORE_DDL` (permanent)
 */
export function refuseOutsideHistory({ request, manifest }: UniverseRestore): void {
  const { at } = request;
  if (at === undefined) return;
  const window = windowOf(manifest);
  const atMs = Date.parse(at);
  if (window === undefined) {
    throw permanent(
      'INSTANT_NOT_IN_HISTORY',
      `Backup ${manifest.backup} carries no history, so it can’t be restored to ${at}`,
      'Leave the instant out, or choose a backup that was exported from a snapshot schedule (pointTime.offCluster).',
    );
  }
  const { from, to, safeFrom } = window;
  if (Number.isNaN(atMs) || atMs < Date.parse(from) || atMs > Date.parse(to)) {
    throw permanent(
      'INSTANT_NOT_IN_HISTORY',
      `${at} is outside of what backup ${manifest.backup} carries, from ${from} to ${to}`,
      `Ask for ${atMs < Date.parse(from) ? from : to}, or restore from another backup.`,
    );
  }
  if (atMs >= Date.parse(safeFrom)) return;
  throw permanent(
    'INSTANT_BEFORE_DDL',
    `${at} lies before a change of the schema that backup ${manifest.backup} holds: the schema is known to have stood from ${safeFrom} on`,
    `Ask for ${safeFrom} or later; or for ${from}, from the backup before it.`,
  );
}

/** Microseconds since 1970 for `restore_snapshot`; undefined for the snapshot's own instant. */
export function instantMicros({ request }: Pick<UniverseRestore, 'request'>): string | undefined {
  return request.at === undefined ? undefined : `${Date.parse(request.at)}000`;
}
