import type { Action } from '../model.ts';
import type { Stage } from './stage.ts';

/** What may happen to a universe while it is backed up or restored, and what must come of it. */
export interface Fault {
  readonly name: string;
  readonly during: 'backup' | 'restore';
  /** Brings it about, or arms it for its moment. */
  strike(stage: Stage): Promise<void>;
  /** Puts right what `disarm` doesn't. */
  mend?(stage: Stage): Promise<void>;
  /** The error's code; absent where the run must succeed all the same. */
  readonly fails?: string;
  /** Looks at what else must hold after the run. */
  after?(stage: Stage): Promise<void>;
  /** Part of `npm test`. */
  readonly sample?: boolean;
}

const arm =
  (operation: string, moment: 'before' | 'after', ...actions: readonly Action[]) =>
  ({ universe }: Stage) =>
    universe.arm({ operation, moment, actions });

const act =
  (...actions: readonly Action[]) =>
  async ({ universe }: Stage): Promise<void> => {
    for (const action of actions) await universe.act(action);
  };

/** Whichever of them died. */
const startAll = async ({ universe }: Stage): Promise<void> => {
  for (const server of universe.tservers.keys()) await universe.act({ do: 'startTserver', server });
};

/** Of one tablet, on every node that has it; the universe still counts the snapshot as complete. */
const removeEverywhere = async ({ universe }: Stage): Promise<void> => {
  const { tablets } = await universe.view();
  const tablet = tablets.find(({ namespace }) => namespace.endsWith('shop'));
  const actions = (tablet?.replicas ?? []).map(
    ({ server }): Action => ({ do: 'removeSnapshotFolder', server, tablet: tablet?.id ?? '' }),
  );
  await universe.arm({ operation: 'GET /dump-entities', moment: 'after', actions });
};

export const FAULTS: readonly Fault[] = [
  {
    name: 'a replica moves after the list was taken, and its snapshot does not come along',
    during: 'backup',
    strike: arm('GET /dump-entities', 'after', {
      do: 'moveReplica',
      table: 'public.orders',
      copySnapshots: false,
    }),
  },
  {
    name: 'another leader is elected',
    during: 'backup',
    strike: arm('GET /dump-entities', 'after', { do: 'changeLeader', table: 'public.orders' }),
  },
  {
    name: 'a tablet has no leader for a while',
    during: 'backup',
    strike: act({ do: 'loseLeader', table: 'public.orders', forMs: 4_000 }),
  },
  {
    name: 'a tablet splits all the same, after the snapshot',
    during: 'backup',
    strike: arm('GET /dump-entities', 'after', {
      do: 'splitTablet',
      table: 'public.orders',
      evenIfHeld: true,
    }),
    sample: true,
  },
  {
    name: 'the schema changes between the snapshot and its dump',
    during: 'backup',
    strike: arm('create_database_snapshot', 'after', {
      do: 'sql',
      database: 'shop',
      statement: 'CREATE TABLE IF NOT EXISTS latecomer (id int PRIMARY KEY)',
    }),
    mend: ({ universe }) =>
      universe
        .act({ do: 'sql', database: 'shop', statement: 'DROP TABLE IF EXISTS latecomer' })
        .then(() => undefined),
  },
  {
    name: 'a node is down, its agent with it',
    during: 'backup',
    async strike({ universe, agents }) {
      await universe.act({ do: 'stopTserver', server: 1 });
      await agents[1]?.stop();
    },
    async mend({ universe, agents }) {
      await universe.act({ do: 'startTserver', server: 1 });
      await agents[1]?.restart();
    },
  },
  {
    name: 'the leading master goes away',
    during: 'backup',
    strike: arm('create_keyspace_snapshot', 'before', { do: 'stopMaster', master: 'leader' }),
    mend: act({ do: 'startMaster', master: 'all' }),
  },
  {
    name: 'the answer to the creation of the snapshot is lost',
    during: 'backup',
    strike: act({ do: 'loseAnswer', operation: 'create_database_snapshot', times: 1 }),
    sample: true,
  },
  {
    name: 'the master is not ready, times out and can not be reached',
    during: 'backup',
    strike: act(
      { do: 'refuse', operation: 'create_database_snapshot', as: 'leader not ready', times: 2 },
      { do: 'refuse', operation: 'export_snapshot', as: 'timed out', times: 2 },
      { do: 'refuse', operation: 'list_snapshots', as: 'network error', times: 2 },
    ),
  },
  {
    name: 'every snapshot fails',
    during: 'backup',
    strike: act({ do: 'snapshots', end: 'failed' }),
    fails: 'SNAPSHOT_FAILED',
  },
  {
    name: 'a snapshot never completes',
    during: 'backup',
    strike: act({ do: 'snapshots', end: 'never' }),
    fails: 'SNAPSHOT_STUCK',
  },
  {
    name: 'the snapshot of a tablet is gone on every node',
    during: 'backup',
    strike: removeEverywhere,
    fails: 'TABLETS_LOST',
  },
  {
    name: 'the snapshots expire before their files are saved',
    during: 'backup',
    strike: arm('GET /dump-entities', 'after', { do: 'deleteSnapshot', snapshot: 'all' }),
  },
  {
    name: 'a replica moves after the import',
    during: 'restore',
    strike: arm('import_snapshot', 'after', { do: 'moveReplica' }),
    sample: true,
  },
  {
    name: 'the load balancer moves replicas all the time',
    during: 'restore',
    strike: act({ do: 'balance', everyMs: 300, copySnapshots: false }),
    mend: act({ do: 'balance', everyMs: 0 }),
  },
  {
    name: 'the words of the import are lost',
    during: 'restore',
    strike: act({ do: 'loseAnswer', operation: 'import_snapshot', times: 1 }),
  },
  {
    name: 'the answer to restore_snapshot is lost',
    during: 'restore',
    strike: act({ do: 'loseAnswer', operation: 'restore_snapshot', times: 1 }),
  },
  {
    name: 'a restoration fails',
    during: 'restore',
    strike: act({ do: 'restorations', end: 'failed' }),
    fails: 'RESTORE_FAILED',
  },
  {
    name: 'a restoration never ends',
    during: 'restore',
    strike: act({ do: 'restorations', end: 'never' }),
    fails: 'RESTORE_STUCK',
  },
  {
    name: 'a tablet server is down',
    during: 'restore',
    strike: act({ do: 'stopTserver', server: 2 }),
    mend: act({ do: 'startTserver', server: 2 }),
    fails: 'RESTORE_TSERVER_DOWN',
  },
  {
    name: 'a folder vanishes in the very moment of restore_snapshot, and its tablet server dies of it',
    during: 'restore',
    strike: arm('restore_snapshot', 'before', { do: 'removeSnapshotFolder', namespace: 'shop_again' }),
    mend: startAll,
    fails: 'RESTORE_STUCK',
  },
  {
    name: 'the imported snapshots expire before they are restored',
    during: 'restore',
    strike: arm('import_snapshot', 'after', { do: 'deleteSnapshot', snapshot: 'all' }),
    fails: 'RESTORE_SNAPSHOT_GONE',
  },
];
