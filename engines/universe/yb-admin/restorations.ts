import { unreadable } from './errors.ts';
import type { YbAdmin } from './program.ts';
import { canonicalUuid, field, isUuid, jsonIn, listField, textField, uuidAfter } from './text.ts';

export type RestorationState = 'RESTORING' | 'RESTORED' | 'FAILED' | 'DELETING' | 'DELETED' | 'UNKNOWN';

const STATES: ReadonlySet<string> = new Set<RestorationState>([
  'RESTORING',
  'RESTORED',
  'FAILED',
  'DELETING',
  'DELETED',
]);

/** The restoration of a snapshot, as `list_snapshot_restorations` prints it. */
export interface Restoration {
  readonly id: string;
  /** Undefined in the text form. */
  readonly snapshot?: string;
  readonly state: RestorationState;
}

/**
 * Starts the restoration of a snapshot and returns its id. `atMicros` (microseconds since 1970) names an instant within its history. Every replica
 * of every tablet must have the snapshot's folder before: a tablet server that lacks one dies (YugabyteDB issue 26798).
 */
export async function restoreSnapshot(
  admin: YbAdmin,
  snapshot: string,
  options: { readonly atMicros?: string } = {},
): Promise<string> {
  const at = options.atMicros === undefined ? [] : [options.atMicros];
  return parseStartedRestoration(await admin.run('restore_snapshot', [canonicalUuid(snapshot), ...at]));
}

/** The id in the output of `restore_snapshot`. Throws `YB_ADMIN_UNREADABLE`. */
export function parseStartedRestoration(output: string): string {
  return uuidAfter('restore_snapshot', output, 'Restoration id:');
}

/** Lists the restorations that the universe still knows. */
export async function listRestorations(admin: YbAdmin): Promise<readonly Restoration[]> {
  return parseRestorations(await admin.run('list_snapshot_restorations', []));
}

/** Undefined where the universe doesn't know it (any more). */
export async function findRestoration(admin: YbAdmin, id: string): Promise<Restoration | undefined> {
  const wanted = canonicalUuid(id);
  return (await listRestorations(admin)).find((restoration) => restoration.id === wanted);
}

/** Parses JSON, or the text at the end of `list_snapshots`. */
export function parseRestorations(output: string): readonly Restoration[] {
  const operation = 'list_snapshot_restorations';
  if (/^\s*(?:No snapshot restorations|Restoration UUID)/m.test(output)) return parseText(output);
  const value = jsonIn(operation, output);
  if (!Array.isArray(field(value, 'restorations')))
    throw unreadable(operation, output, 'list "restorations"');
  return listField(value, 'restorations').map((entry) => {
    const id = textField(entry, 'id');
    const snapshot = textField(entry, 'snapshot_id');
    if (id === undefined || !isUuid(id)) throw unreadable(operation, output, 'id in every restoration');
    return {
      id: canonicalUuid(id),
      ...(snapshot === undefined || !isUuid(snapshot) ? {} : { snapshot: canonicalUuid(snapshot) }),
      state: stateOf(textField(entry, 'state')),
    };
  });
}

function parseText(output: string): readonly Restoration[] {
  const lines = output.split(/\r?\n/);
  const start = lines.findIndex((line) => /^\s*Restoration UUID/.test(line));
  if (start < 0) return [];
  return lines.slice(start + 1).flatMap((line) => {
    const [id = '', state] = line.trim().split(/\s+/);
    return isUuid(id) ? [{ id: canonicalUuid(id), state: stateOf(state) }] : [];
  });
}

function stateOf(text: string | undefined): RestorationState {
  return text !== undefined && STATES.has(text) ? (text as RestorationState) : 'UNKNOWN';
}

/** Aborts a restoration that doesn't end. What it has restored so far stays. */
export async function abortRestoration(admin: YbAdmin, id: string): Promise<void> {
  await admin.run('abort_snapshot_restore', [canonicalUuid(id)]);
}
