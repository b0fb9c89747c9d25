import { formatDuration } from '../../model/amounts.ts';
import { type Check, check } from '../../model/check.ts';
import { permanent } from '../../model/errors.ts';
import type { UniverseSource } from '../../model/pipeline.ts';
import type { InClusterLimit } from '../../model/recovery.ts';
import type { VerbContext } from '../engine.ts';
import type { ConnectionTarget } from '../ysql/server/connection-url.ts';
import { type Session, withSession } from '../ysql/server/session.ts';
import { dumpEntities } from './entities.ts';
import { namedSchedules } from './in-cluster/schedules.ts';
import { tablespacesWithoutNodes } from './tablespaces.ts';
import { type DatabaseName, namesIn, openUniverse, type Universe, ysqlTarget } from './universe.ts';
import { listNamespaces } from './yb-admin/namespaces.ts';
import {
  type ChangeStream,
  changeDataStreams,
  encryptionKey,
  inboundGroups,
  missingKey,
  outboundGroups,
  outboundStreams,
} from './yb-admin/neighbours.ts';
import { field, listField } from './yb-admin/text.ts';
import { universeConfig } from './yb-admin/upkeep.ts';

/** Finds others that use the same databases, and says what happens to them if a database is overwritten or taken back in time. */

/** An overwriting restore gives the database's name to another one; a rewind takes its tables back in place. */
type Overwriting = 'replace' | 'rewind';

interface Neighbour {
  /** A noun phrase that names it. */
  readonly what: string;
  /** What would break it silently. Empty: nothing would, and it is only mentioned. */
  readonly brokenBy: readonly Overwriting[];
  /** A clause: what would happen to it, with the source. */
  readonly fate: string;
  readonly remedy: string;
  /** True: the caller may decide to break it (`breakOthers`). Otherwise the restore itself could not succeed. */
  readonly mayBeBroken?: boolean;
  /** True: something is wrong already, even if nothing is overwritten. */
  readonly isWrong?: boolean;
}

/** Where to look, and for whom. */
export interface Surroundings {
  readonly universe: Pick<Universe, 'admin' | 'masterWebAddresses'>;
  /** Where YSQL is asked, if one of `names` is a YSQL database. */
  readonly ysql: () => Promise<ConnectionTarget>;
  readonly names: readonly DatabaseName[];
  readonly signal: AbortSignal;
}

type Look = (surroundings: Surroundings) => Promise<readonly Neighbour[]>;

/** The kinds of neighbours, each with the name of its check. */
const LOOKS: readonly (readonly [name: string, look: Look])[] = [
  ['xCluster replication', xCluster],
  ['change data capture', changeDataCapture],
  ['snapshot schedules, also of others', schedules],
  ['read replicas', readReplicas],
  ['tablespaces have nodes', tablespaces],
  ['encryption at rest has its key', encryption],
];

/** A check of `holdfast doctor`: as `checkNeighbours`, for a plan's universe. */
export async function checkNeighboursOf(
  verb: VerbContext,
  source: UniverseSource,
): Promise<readonly Check[]> {
  let universe: Universe | undefined;
  const opened = await check('others in the universe', async () => {
    universe = await openUniverse(verb, source);
    return 'can be asked for';
  });
  if (universe === undefined) return [opened];
  const found = universe;
  const ysql = () => ysqlTarget(verb, found);
  return checkNeighbours({ universe: found, ysql, names: namesIn(source), signal: verb.signal });
}

/** A check of `holdfast doctor`: each kind of neighbour, with what an overwriting restore or a rewind would do to it. */
export async function checkNeighbours(surroundings: Surroundings): Promise<readonly Check[]> {
  return Promise.all(
    LOOKS.map(([name, look]) =>
      check(name, async () => {
        const found = await look(surroundings);
        const wrong = found.filter(({ isWrong }) => isWrong);
        if (wrong.length > 0) {
          throw permanent('UNIVERSE_NEIGHBOUR', sentences(found), remediesOf(wrong));
        }
        return found.length === 0 ? 'nothing to mind' : sentences(found);
      }),
    ),
  );
}

/**
 * Called before something is overwritten. Throws `OVERWRITE_BREAKS_OTHERS` (permanent), which names everything that would break, and how to go on.
 * With `breakOthers`, replication and readers of changes may break: returns one sentence for each, with what to do about it. What prevents a
 * restore from succeeding (tablespaces without nodes, encryption without its key) is refused even then.
 */
export async function refuseToBreakOthers(
  way: Overwriting,
  surroundings: Surroundings,
  breakOthers = false,
): Promise<readonly string[]> {
  const found = (await lookAround(surroundings)).filter(({ brokenBy }) => brokenBy.includes(way));
  const isAccepted = ({ mayBeBroken }: Neighbour) => breakOthers && mayBeBroken === true;
  const accepted = found
    .filter(isAccepted)
    .map(({ what, fate, remedy }) => `broken, as asked for: ${what}: ${fate}. ${remedy}`);
  const broken = found.filter((neighbour) => !isAccepted(neighbour));
  if (broken.length === 0) return accepted;
  const override = broken.some(({ mayBeBroken }) => mayBeBroken === true)
    ? ' Or break it knowingly: --break-others ("breakOthers": true in a signal).'
    : '';
  throw permanent(
    'OVERWRITE_BREAKS_OTHERS',
    `Nothing was overwritten, because ${way === 'rewind' ? 'a rewind' : 'an overwriting restore'} would break what others use: ${sentences(broken)}`,
    `${remediesOf(broken)} Or restore beside (--into), which touches none of them.${override}`,
  );
}

/** For the planner of restores: why the universe can't be taken back in place by its own history. */
export async function rewindLimits(surroundings: Surroundings): Promise<readonly InClusterLimit[]> {
  const found = await lookAround(surroundings);
  return found
    .filter(({ brokenBy }) => brokenBy.includes('rewind'))
    .map((neighbour) => ({
      ways: ['rewind'],
      ...(neighbour.mayBeBroken === true ? { breaksOthers: true } : {}),
      reason: sentences([neighbour]),
      remedy: `${neighbour.remedy} Or restore a backup beside, or clone.`,
    }));
}

async function lookAround(surroundings: Surroundings): Promise<readonly Neighbour[]> {
  const found = await Promise.all(LOOKS.map(([, look]) => look(surroundings)));
  return found.flat();
}

const sentences = (found: readonly Neighbour[]): string =>
  found.map(({ what, fate }) => `${what}: ${fate}`).join('; ');

const remediesOf = (found: readonly Neighbour[]): string =>
  [...new Set(found.map(({ remedy }) => remedy))].join(' ');

const BOTH: readonly Overwriting[] = ['replace', 'rewind'];

async function xCluster(surroundings: Surroundings): Promise<readonly Neighbour[]> {
  const { universe } = surroundings;
  const { admin } = universe;
  const found: Neighbour[] = [];
  const owners = await ownersOf(surroundings);
  const sending = await concerned(await outboundStreams(admin), owners);
  for (const { label, id, streams } of sending.byName) {
    const groups = id === undefined ? [] : await outboundGroups(admin, id);
    const group = groups.length === 0 ? '' : ` (group ${groups.join(', ')})`;
    found.push({
      what: `xCluster sends ${label} to another universe${group}, in ${streams} streams`,
      brokenBy: BOTH,
      mayBeBroken: true,
      fate: 'its replication would stop, or go on with other data than here, without an error (YugabyteDB issues 15002, 17304)',
      remedy:
        'Take the database out of the replication first (yb-admin remove_namespace_from_xcluster_replication or drop_xcluster_replication; older: alter_universe_replication on the other side), and set it up anew afterwards.',
    });
  }
  for (const { name, writes } of await inboundGroups(admin)) {
    const labels = writes === undefined ? undefined : await owners.labelsOf(writes);
    if (labels?.length === 0) continue;
    const into = labels?.join(', ') ?? 'this universe (this release doesn’t tell into which databases)';
    found.push({
      what: `xCluster group ${name} writes into ${into}`,
      brokenBy: BOTH,
      mayBeBroken: true,
      isWrong: true,
      fate: 'a backup of it while it replicates may not be of one instant, and what is restored here would be mixed with what is replicated (YugabyteDB issues 27566, 17304)',
      remedy:
        'Back up the universe that it replicates from; before something is restored here, end the replication (yb-admin delete_universe_replication, or drop_xcluster_replication on the other side).',
    });
  }
  return found;
}

async function changeDataCapture(surroundings: Surroundings): Promise<readonly Neighbour[]> {
  const { universe, names } = surroundings;
  const owners = await ownersOf(surroundings);
  const fate =
    'it would miss what a restore changes, or go on reading the database that was replaced (YugabyteDB issues 12773, 17014)';
  const remedy =
    'Drop slot or stream first (pg_drop_replication_slot; yb-admin delete_change_data_stream), make it anew afterwards, and load its reader anew.';
  const databases = names.flatMap(({ api, name }) => (api === 'ysql' ? [name] : []));
  const slots = await askYsql(surroundings, (session) =>
    session.query<{ slot: string; database: string }>(
      'look for replication slots',
      'SELECT slot_name AS slot, database FROM pg_catalog.pg_replication_slots ORDER BY slot_name',
    ),
  );
  const streams = (await changeDataStreams(universe.admin)).filter(
    ({ slot }) => slot === undefined || slots.every((other) => other.slot !== slot),
  );
  const { byName, unknown } = await concerned(streams, owners);
  return [
    ...slots
      .filter(({ database }) => databases.includes(database))
      .map(({ slot, database }) => `replication slot ${slot} of database ${database}`),
    ...byName.map(({ label, ids }) => `change data streams of ${label} (${ids.join(', ')})`),
    ...(unknown.length === 0
      ? []
      : [`change data streams without a table, of whichever database (${unknown.join(', ')})`]),
  ].map((what) => ({ what, brokenBy: BOTH, mayBeBroken: true, fate, remedy }));
}

async function schedules({ universe, names }: Surroundings): Promise<readonly Neighbour[]> {
  const namespaces = names.map(({ api, name }) => `${api}.${name}`);
  const all = await namedSchedules(universe.admin);
  return all
    .filter(({ namespace }) => namespaces.includes(namespace))
    .map(({ id, namespace, retentionMs }) => ({
      what: `snapshot schedule ${id} of ${namespace}${retentionMs === undefined ? '' : `, kept for ${formatDuration(retentionMs)}`}`,
      brokenBy: [],
      fate: 'after an overwriting restore it keeps the history of the database that was replaced, and none of the new one',
      remedy: 'Make a schedule for the new database (yb-admin create_snapshot_schedule, or holdfast apply).',
    }));
}

/** Only reports read replicas. What refuses a rewind because of them is `yb_servers()` (`in-cluster/sources.ts`). */
async function readReplicas({ universe }: Surroundings): Promise<readonly Neighbour[]> {
  const replication = field(await universeConfig(universe.admin), 'replicationInfo');
  const clusters = listField(replication, 'readReplicas').length;
  if (clusters === 0) return [];
  return [
    {
      what: `the universe has ${clusters === 1 ? 'a cluster' : `${clusters} clusters`} of read replicas`,
      brokenBy: [],
      fate: 'a rewind is not supported with them (documentation, "Point-in-time recovery"); a restore fills them too',
      remedy: 'Nothing is to be done.',
    },
  ];
}

async function tablespaces(surroundings: Surroundings): Promise<readonly Neighbour[]> {
  const found = await askYsql(surroundings, tablespacesWithoutNodes);
  return found.map(({ name, places }) => ({
    what: `tablespace ${name} wants replicas in ${places.join(', ')}, where no node is`,
    brokenBy: ['replace'],
    isWrong: true,
    fate: 'a restore can’t make its tables',
    remedy: `Add nodes there, or give the tablespace a placement that exists (ALTER TABLESPACE ${name} SET (replica_placement = …)).`,
  }));
}

/** Asks a session of YSQL. Returns nothing if no YSQL database is concerned. */
async function askYsql<T>(
  { names, ysql, signal }: Surroundings,
  ask: (session: Session) => Promise<readonly T[]>,
): Promise<readonly T[]> {
  if (names.every(({ api }) => api !== 'ysql')) return [];
  const target = await ysql();
  return withSession(target, target.database, signal, ask);
}

/** Looks for a key that not every master has. A restart loses a key that a master holds in memory, and files whose key is lost can't be read. */
async function encryption({ universe: { admin } }: Surroundings): Promise<readonly Neighbour[]> {
  const key = await encryptionKey(admin);
  if (key === undefined) return [];
  const config = await universeConfig(admin);
  const info = field(config, 'encryptionInfo') ?? field(config, 'encryption_info');
  const path = field(info, 'keyPath') ?? field(info, 'key_path');
  const inMemory = field(info, 'keyInMemory') ?? field(info, 'key_in_memory');
  if (inMemory !== true && typeof path === 'string' && path !== '') {
    return [
      {
        what: `files are encrypted with the key ${key}, which the masters read from ${path}`,
        brokenBy: [],
        fate: 'a backup can be restored only where that key is, which Holdfast doesn’t save',
        remedy: 'Keep that file beside the backups, not in them.',
      },
    ];
  }
  const problem = await missingKey(admin, key);
  if (problem === undefined) {
    return [
      {
        what: `files are encrypted with the key ${key}, which every master has`,
        brokenBy: [],
        fate: 'a backup can be restored only where that key is, which Holdfast doesn’t save',
        remedy: 'Keep the key beside the backups, not in them.',
      },
    ];
  }
  return [
    {
      what: `files are encrypted with the key ${key}, which not every master has (${problem})`,
      brokenBy: BOTH,
      isWrong: true,
      fate: 'tablets that move or restart can’t be read',
      remedy: `Give it to them: yb-admin add_universe_key_to_all_masters ${key} FILE.`,
    },
  ];
}

/** Which of the databases and keyspaces in question own an id. */
interface Owners {
  /** Labels of the databases and keyspaces that have one of these ids, or a table with one. None for those not in question. */
  labelsOf(ids: readonly string[]): Promise<readonly string[]>;
  /** Id of the database or keyspace with the label. */
  idOf(label: string): string | undefined;
}

async function ownersOf({ universe, names, signal }: Surroundings): Promise<Owners> {
  const labels = new Map<string, string>();
  const namespaces = await listNamespaces(universe.admin);
  for (const { id, kind, name } of namespaces) {
    if (names.some((ours) => ours.api === kind && ours.name === name)) {
      labels.set(id, `${kind === 'ysql' ? 'database' : 'keyspace'} ${name}`);
    }
  }
  const known = new Set(namespaces.map(({ id }) => id));
  let map: Promise<ReadonlyMap<string, string>> | undefined;
  const namespaceOf = async (id: string): Promise<string | undefined> => {
    if (known.has(id)) return id;
    if (known.has(databaseOfTable(id))) return databaseOfTable(id);
    // For a keyspace's table, only the map of the universe says which keyspace it is in.
    map ??= dumpEntities(universe.masterWebAddresses, signal).then(
      ({ tables }) => new Map(tables.map((table) => [table.id, table.namespaceId])),
    );
    return (await map).get(id);
  };
  const ids = new Map([...labels].map(([id, label]) => [label, id]));
  return {
    labelsOf: async (asked) => {
      const found = new Set<string>();
      for (const id of asked) {
        const label = labels.get((await namespaceOf(id)) ?? '');
        if (label !== undefined) found.add(label);
      }
      return [...found];
    },
    idOf: (label) => ids.get(label),
  };
}

/** The id of a YSQL table's database: the table's id without the OID in its last eight digits (facts/yugabytedb.md, section 3). */
function databaseOfTable(id: string): string {
  return `${id.slice(0, 24)}00000000`;
}

interface Concerned {
  readonly byName: readonly {
    readonly label: string;
    /** Of the database or keyspace. */
    readonly id: string | undefined;
    readonly ids: readonly string[];
    readonly streams: number;
  }[];
  /** Ids of streams that name neither a table nor a namespace. */
  readonly unknown: readonly string[];
}

async function concerned(streams: readonly ChangeStream[], owners: Owners): Promise<Concerned> {
  const byLabel = new Map<string, string[]>();
  const unknown: string[] = [];
  for (const { id, tables, namespaceId } of streams) {
    if (tables.length === 0 && namespaceId === undefined) unknown.push(id);
    const owned = [...tables, ...(namespaceId === undefined ? [] : [namespaceId])];
    for (const label of await owners.labelsOf(owned)) {
      byLabel.set(label, [...(byLabel.get(label) ?? []), id]);
    }
  }
  const byName = [...byLabel].map(([label, ids]) => ({
    label,
    id: owners.idOf(label),
    ids,
    streams: ids.length,
  }));
  return { byName, unknown };
}
