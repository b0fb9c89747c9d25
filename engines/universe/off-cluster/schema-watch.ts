import { transient } from '../../../model/errors.ts';
import {
  readSchemaWatch,
  type SchemaSpan,
  type SchemaWatch,
  writeSchemaWatch,
} from '../../../repository/off-cluster.ts';
import { sha256Hex } from '../../../repository/sha256.ts';
import type { Store } from '../../../repository/store.ts';
import type { VerbContext } from '../../engine.ts';
import { onlyRow, withSession } from '../../ysql/server/session.ts';
import { presentFingerprint } from '../schema-stands.ts';
import { type DatabaseName, ownYsqlTarget, type Universe } from '../universe.ts';
import { listRestorations } from '../yb-admin/restorations.ts';
import { isoOfMicros } from '../yb-admin/times.ts';
import { catalogVersion } from '../yb-admin/upkeep.ts';

/** Clocks of a universe's nodes differ by half a second at most (`max_clock_skew_usec`), and a worker's clock differs a little from theirs. */
const CLOCK_DIFFERENCE_MICROS = 1_000_000n;
/** Enough for weeks of daily changes of the schema. No snapshot that still exists needs older ones. */
const SPANS_KEPT = 50;

interface Watching {
  readonly verb: VerbContext;
  readonly store: Store;
  readonly plan: string;
  readonly universe: Universe;
  readonly name: DatabaseName;
  /** Ids of the schedule's snapshots. */
  readonly snapshots: readonly string[];
}

/**
 * Looks at the schema of a database, and remembers since when it has been the same. If the database was taken back in place since the last look, a
 * new span begins: no restore may go back beyond it.
 */
export async function watchSchema(watching: Watching): Promise<SchemaWatch> {
  const { verb, store, plan, universe, name, snapshots } = watching;
  const namespace = `${name.api}.${name.name}`;
  const known = await readSchemaWatch(store, plan, namespace, verb);
  const own = new Set(snapshots);
  const restorations = (await listRestorations(universe.admin))
    .filter(({ snapshot }) => own.has(snapshot ?? ''))
    .map(({ id }) => id);
  const wasTakenBack = known !== undefined && restorations.some((id) => !known.restorations.includes(id));
  const found = name.api === 'ysql' ? await lookAtDatabase(watching) : lookAtKeyspace();
  const spans = withLook(known?.spans ?? [], found, wasTakenBack);
  const watch: SchemaWatch = { plan, namespace, spans: spans.slice(-SPANS_KEPT), restorations };
  await writeSchemaWatch(store, watch, verb);
  return watch;
}

interface Look {
  readonly schema: string;
  readonly version?: string;
  /** When this schema existed for certain: `since` counts from the end of the look, `until` from its beginning. */
  readonly since: string;
  readonly until: string;
}

/** Reads the catalog version before and after the schema. If it rose, reads the schema again, since ANALYZE raises the version too. */
async function lookAtDatabase({ verb, universe, name }: Watching): Promise<Look> {
  const target = await ownYsqlTarget(verb, universe);
  const clock = () =>
    withSession(target, name.name, verb.signal, async (session) => {
      const rows = await session.query<{ micros: string }>(
        'ask for the time',
        'SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text AS micros',
      );
      return BigInt(onlyRow(rows, 'the time').micros);
    });
  const database = { database: name.name, api: name.api };
  const fingerprint = () => presentFingerprint({ context: verb, universe, database }, target);
  const began = await clock();
  const before = await catalogVersion(universe.admin, name.name);
  const found = await fingerprint();
  const version = await catalogVersion(universe.admin, name.name);
  if (version !== before && (await fingerprint()) !== found) {
    throw transient(
      'SCHEMA_CHANGES_NOW',
      `The schema of "${name.name}" changed while it was looked at`,
      'It is looked at again.',
    );
  }
  return {
    schema: sha256Hex(Buffer.from(found)).slice(0, 32),
    version,
    since: isoOfMicros(String((await clock()) + CLOCK_DIFFERENCE_MICROS)),
    until: isoOfMicros(String(began - CLOCK_DIFFERENCE_MICROS)),
  };
}

/** A keyspace's snapshots hold its schema, so a look at it only watches for restorations in place. */
function lookAtKeyspace(): Look {
  const now = BigInt(Date.now()) * 1000n;
  return {
    schema: 'ycql',
    since: isoOfMicros(String(now + CLOCK_DIFFERENCE_MICROS)),
    until: isoOfMicros(String(now - CLOCK_DIFFERENCE_MICROS)),
  };
}

/** The spans after a look: it extends the last one, or begins a new one if the schema differs or the database was taken back. Pure. */
export function withLook(
  spans: readonly SchemaSpan[],
  { schema, version, since, until }: Look,
  wasTakenBack: boolean,
): readonly SchemaSpan[] {
  const last = spans.at(-1);
  const versions = version === undefined ? {} : { version, versionSince: since };
  if (last === undefined || last.schema !== schema || wasTakenBack) {
    return [...spans, { schema, since, until, ...versions }];
  }
  return [...spans.slice(0, -1), { ...last, until, ...(last.version === version ? {} : versions) }];
}

/**
 * The span of looks around an instant that found the same schema. Undefined if those before and after it don't agree, or if there was none before
 * or after.
 *
 * @param at ISO 8601 with microseconds, as are the times of the looks
 */
export function spanAround(spans: readonly SchemaSpan[], at: string): SchemaSpan | undefined {
  return spans.findLast((span) => span.since <= at && at <= span.until);
}
