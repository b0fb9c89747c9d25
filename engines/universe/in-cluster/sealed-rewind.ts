import { permanent } from '../../../model/errors.ts';
import type { InClusterRequest } from '../../../model/in-cluster.ts';
import {
  findRewindRecord,
  type RewindRecord,
  readRewindNote,
  sealRewind,
  writeRewindNote,
} from '../../../repository/rewind-records.ts';
import type { Store } from '../../../repository/store.ts';
import type { YbAdmin } from '../yb-admin/program.ts';
import { listRestorations } from '../yb-admin/restorations.ts';
import { beginRewind, endRewind, scheduleOf, type Waiting } from './rewind.ts';

/**
 * A rewind is run once, even if it is asked for again by a retry after a kill, or by a Temporal that was put back to an older state. Records in the
 * repository tell these apart (`repository/rewind-records.ts`).
 */
interface SealedRewind {
  readonly admin: YbAdmin;
  readonly store: Store;
  readonly request: Pick<InClusterRequest, 'plan' | 'restore' | 'instant' | 'databases'>;
  readonly waiting: Waiting;
}

/** How long after its last sign of life a run may continue with a database whose rewind is not on record yet, in milliseconds. */
const STILL_AT_WORK_MS = 3_600_000;

/**
 * Takes one database back. If this run did so before, returns a sentence that says that it is not repeated.
 *
 * @param database its index in the request
 * @param namespace `ysql.orders`
 * @throws HoldfastError as `rewind`; `REWIND_NOT_KNOWN` (permanent) if a run that was silent for an hour asks again
 */
export async function rewindOnce(
  rewind: SealedRewind,
  database: number,
  namespace: string,
): Promise<string | undefined> {
  const { admin, store, request, waiting } = rewind;
  const { signal } = waiting;
  const rewound = await readRewindNote(store, request, database, 'rewound', { signal });
  if (rewound !== undefined) return stands(nameOf(request, database), rewound.at);
  const restoration = await askedRestoration(rewind, database, namespace);
  await endRewind(admin, namespace, restoration, waiting);
  const note = { at: new Date().toISOString(), restoration };
  await writeRewindNote(store, request, database, 'rewound', note, { signal });
  return undefined;
}

/** The id of the restoration that takes the database back. Begins it unless an earlier attempt did. */
async function askedRestoration(rewind: SealedRewind, database: number, namespace: string): Promise<string> {
  const { admin, store, request, waiting } = rewind;
  const { signal } = waiting;
  const asked = await readRewindNote(store, request, database, 'asked', { signal });
  if (asked !== undefined) return asked.restoration;
  const schedule = await scheduleOf(admin, namespace);
  const known = (await listRestorations(admin)).map(({ id }) => id);
  const { record, isNew } = await sealRewind(
    store,
    {
      plan: request.plan,
      restore: request.restore,
      way: 'rewind',
      instant: request.instant,
      sealedAt: new Date().toISOString(),
      databases: request.databases.map(({ from }) => from),
      restorationsBefore: known,
    },
    { signal },
  );
  const begun = isNew ? undefined : await begunBefore(rewind, record, database, schedule.snapshots);
  const restoration = begun ?? (await beginRewind(admin, schedule, microsOf(request.instant), waiting));
  const note = { at: new Date().toISOString(), restoration };
  await writeRewindNote(store, request, database, 'asked', note, { signal });
  return restoration;
}

/** The id of a restoration that an attempt began before it died without writing the id down; undefined if none did. */
async function begunBefore(
  { admin, store, request, waiting }: SealedRewind,
  record: RewindRecord,
  database: number,
  snapshots: readonly { readonly id: string }[],
): Promise<string | undefined> {
  const own = new Set(snapshots.map(({ id }) => id));
  const before = new Set(record.restorationsBefore);
  const begun = (await listRestorations(admin)).find(
    ({ id, snapshot }) => !before.has(id) && own.has(snapshot ?? ''),
  );
  if (begun !== undefined) return begun.id;
  const previous =
    database === 0
      ? undefined
      : await readRewindNote(store, request, database - 1, 'rewound', { signal: waiting.signal });
  const lastSign = previous?.at ?? record.sealedAt;
  if (Date.now() - Date.parse(lastSign) <= STILL_AT_WORK_MS) return undefined;
  throw permanent(
    'REWIND_NOT_KNOWN',
    `Rewind ${request.restore} was about to take ${nameOf(request, database)} back at ${lastSign}; whether the universe did it is not known any more, so it isn't done now, over what may have been written since`,
    'Nothing was changed now. Look at what the database holds; to go back, ask for a new restore.',
  );
}

/**
 * Refuses a run that passed its point of no return before. Throws `RESTORE_ENDED_BEFORE` (permanent), which says what was done to each database.
 */
export async function refuseIfSealed(
  store: Store,
  request: SealedRewind['request'],
  signal: AbortSignal,
): Promise<void> {
  const record = await findRewindRecord(store, request, { signal });
  if (record === undefined) return;
  const sentences: string[] = [];
  for (const [database, name] of record.databases.entries()) {
    const rewound = await readRewindNote(store, request, database, 'rewound', { signal });
    const asked = await readRewindNote(store, request, database, 'asked', { signal });
    if (rewound !== undefined) sentences.push(stands(name, rewound.at));
    else if (asked === undefined) sentences.push(`Nothing says that ${name} was taken back.`);
    else
      sentences.push(
        `The universe was asked to take ${name} back (restoration ${asked.restoration}); nothing says that it came to its end.`,
      );
  }
  throw permanent(
    'RESTORE_ENDED_BEFORE',
    `Rewind ${record.restore} to ${record.instant} was begun at ${record.sealedAt} and is not run again: ${sentences.join(' ')}`,
    'Nothing was changed now. To go back once more, ask for a new restore.',
  );
}

function stands(name: string, at: string): string {
  return `${name} was taken back at ${at} and is not taken back again: what was written since stands.`;
}

function nameOf({ databases }: SealedRewind['request'], database: number): string {
  return databases[database]?.from ?? `database ${database}`;
}

/** Microseconds since 1970. */
export function microsOf(instant: string): string {
  return `${Date.parse(instant)}000`;
}
