import { formatAmount, formatBytes } from '../../../model/amounts.ts';
import type { ArchivePolicy } from '../../../model/archive.ts';
import { type Check, check } from '../../../model/check.ts';
import { permanent } from '../../../model/errors.ts';
import type { YsqlSource } from '../../../model/pipeline.ts';
import type { VerbContext } from '../../engine.ts';
import { selectedDatabases } from '../databases.ts';
import { archiveName } from '../server/archive-names.ts';
import type { ConnectionTarget } from '../server/connection-url.ts';
import { currentRole, grantRemedy } from '../server/read-time.ts';
import { readServer, type Server } from '../server/server.ts';
import { onlyRow, resolveTarget, type Session, withSession } from '../server/session.ts';
import { archiveSource } from './archive-source.ts';
import { describeNotArchived } from './slot.ts';
import type { ArchiveSource } from './source-kind.ts';
import { type ArchivableTables, archivableTables } from './tables.ts';
import { replicationLimits } from './yugabytedb-limits.ts';

interface ServerSettings {
  readonly walLevel: string;
  readonly maxSlots: number;
  readonly usedSlots: number;
  readonly ownSlots: number;
  readonly maxSenders: number;
  readonly mayReplicate: boolean;
  readonly role: string;
  /** MiB; -1: no limit. */
  readonly maxSlotKeepMiB: number;
}

const SETTINGS = `
  SELECT current_setting('wal_level') AS "walLevel", current_setting('max_replication_slots')::int AS "maxSlots",
    (SELECT count(*)::int FROM pg_catalog.pg_replication_slots) AS "usedSlots",
    (SELECT count(*)::int FROM pg_catalog.pg_replication_slots WHERE slot_name = ANY ($1)) AS "ownSlots",
    current_setting('max_wal_senders')::int AS "maxSenders",
    (SELECT rolsuper OR rolreplication FROM pg_catalog.pg_roles WHERE rolname = current_user) AS "mayReplicate",
    current_user AS role,
    (SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size') AS "maxSlotKeepMiB"`;

/** What an archive of changes needs of the source, each looked at by itself. Changes nothing. */
export async function checkArchive(
  verb: VerbContext,
  source: YsqlSource,
  { plan, policy }: { readonly plan: string; readonly policy: ArchivePolicy },
): Promise<readonly Check[]> {
  const target = () => resolveTarget(verb, source.connection);
  const found = async () => {
    const where = await target();
    return await withSession(where, where.database, verb.signal, async (session) => {
      const server = await readServer(session);
      const kind = archiveSource(server);
      const databases = await selectedDatabases(session, where, source);
      const slots = databases.map((database) => archiveName(plan, database));
      const settings = await session.query<ServerSettings>('read the settings of replication', SETTINGS, [
        slots,
      ]);
      return { kind, server, databases, settings: onlyRow(settings, 'its settings') };
    });
  };
  let product: Server['product'] | undefined;
  const logical = await check('archive: the server logs changes of rows', async () => {
    const { kind, server, settings } = await found();
    product = kind.product;
    if (kind.product === 'yugabytedb') {
      return `YugabyteDB ${server.version}, replication slots by hybrid time (early access). Of this release: ${replicationLimits(server.version).join('; ')}`;
    }
    if (settings.walLevel !== 'logical') {
      throw permanent(
        'ARCHIVE_WAL_LEVEL',
        `wal_level is ${settings.walLevel}, and an archive of changes needs logical`,
        "Run ALTER SYSTEM SET wal_level = 'logical'; and restart the server.",
      );
    }
    return `PostgreSQL ${server.version}, wal_level logical`;
  });
  // The rest would only repeat what is wrong.
  if (!logical.ok) return [logical];
  return [
    logical,
    await check('archive: the role may replicate', async () => {
      const { settings } = await found();
      if (!settings.mayReplicate) {
        throw permanent(
          'ARCHIVE_NO_REPLICATION',
          `Role ${settings.role} has not the attribute REPLICATION`,
          `Run ALTER ROLE "${settings.role}" REPLICATION;`,
        );
      }
      return `role ${settings.role} may`;
    }),
    await check('archive: free replication slots', async () => {
      const { settings, databases } = await found();
      const needed = databases.length - settings.ownSlots;
      const free = settings.maxSlots - settings.usedSlots;
      // YugabyteDB's slots are the cluster's, of all databases together.
      if (needed > free || (product === 'postgresql' && databases.length > settings.maxSenders)) {
        throw permanent(
          'ARCHIVE_NO_SLOT',
          `${formatAmount(databases.length, 'database')} need a replication slot and a walsender each; ${free} slots of ${settings.maxSlots} are free, and max_wal_senders is ${settings.maxSenders}`,
          'Raise max_replication_slots and max_wal_senders, which takes a restart, or let the plan name fewer databases.',
        );
      }
      return `${needed} needed, ${free} of ${settings.maxSlots} free`;
    }),
    await check('archive: WAL kept on the source', async () => {
      const { settings } = await found();
      if (product === 'yugabytedb') return KEPT_BY_YUGABYTEDB;
      const own = formatBytes(policy.maxSourceLagBytes);
      if (settings.maxSlotKeepMiB < 0) {
        return `the archive gives its slot up at ${own} (maxSourceLag), as long as a worker runs; while none does, the server keeps WAL until its disk is full, since max_slot_wal_keep_size is -1. See that pg_wal has room for ${own}`;
      }
      return `the archive gives its slot up at ${own} (maxSourceLag), the server at ${formatBytes(settings.maxSlotKeepMiB * 1024 ** 2)} (max_slot_wal_keep_size)`;
    }),
    ...(product === 'yugabytedb' ? [await baseCheck(target, verb.signal)] : []),
    await tablesCheck(verb, source, plan, target, found),
  ];
}

const KEPT_BY_YUGABYTEDB =
  'YugabyteDB keeps changes that were not acknowledged for 8 hours (cdc_intent_retention_ms, cdc_wal_retention_time_secs) and tells no bytes, so maxSourceLag is not used. A slot that nobody read for so long is given up, and a new timeline begins';

/** A base meets the stream where it was read: at a hybrid time. A base that was read at an exported snapshot meets it nowhere. */
async function baseCheck(target: () => Promise<ConnectionTarget>, signal: AbortSignal): Promise<Check> {
  return await check('archive: a base is read at an instant', async () => {
    const where = await target();
    return await withSession(where, where.database, signal, requireReadTime);
  });
}

async function requireReadTime(session: Session): Promise<string> {
  const { may } = onlyRow(
    await session.query<{ may: boolean }>(
      'look whether the role may read at an instant',
      `SELECT rolsuper OR has_parameter_privilege('yb_read_time', 'SET') AS may FROM pg_catalog.pg_roles WHERE rolname = current_user`,
    ),
    'the role',
  );
  const role = await currentRole(session);
  if (may) return `role ${role} may set yb_read_time`;
  throw permanent(
    'ARCHIVE_NO_READ_TIME',
    `Role ${role} may not set yb_read_time, so its backups are read at exported snapshots, which say no hybrid time: none can be the base of a replay`,
    grantRemedy(role, await readServer(session)),
  );
}

/** Tables without a replica identity are named with what to run. They are no fault: the archive leaves them out. */
async function tablesCheck(
  verb: VerbContext,
  source: YsqlSource,
  plan: string,
  target: () => Promise<ConnectionTarget>,
  found: () => Promise<{ readonly kind: ArchiveSource; readonly databases: readonly string[] }>,
): Promise<Check> {
  const mend = new Map<string, readonly string[]>();
  const looked = await check('archive: replica identities', async () => {
    const told: string[] = [];
    const { kind, databases } = await found();
    for (const database of databases) {
      const tables = await withSession(await target(), database, verb.signal, (session) =>
        archivableTables(session, kind.tables, source, archiveName(plan, database)),
      );
      told.push(describe(database, tables));
      const statements = tables.notArchived.flatMap(({ sql }) => sql ?? []);
      if (statements.length > 0) mend.set(database, statements);
    }
    return told.join('; ');
  });
  if (mend.size === 0 || looked.remedy !== undefined) return looked;
  return {
    ...looked,
    remedy: `To archive them too, give them primary keys, or run ${statementsByDatabase(mend)}`,
  };
}

const TOLD = 20;

/** Names the database before its statements where there are several. */
function statementsByDatabase(mend: ReadonlyMap<string, readonly string[]>): string {
  return [...mend]
    .map(([database, statements]) => {
      const more = statements.length > TOLD ? ` and so on for ${statements.length - TOLD} more` : '';
      const where = mend.size === 1 ? '' : `in database ${database}: `;
      return `${where}${statements.slice(0, TOLD).join(' ')}${more}`;
    })
    .join(' ');
}

function describe(database: string, tables: ArchivableTables): string {
  const archived = `${formatAmount(tables.archived.length, 'table')} of ${database}`;
  if (tables.archived.length === 0) {
    throw permanent(
      'ARCHIVE_NO_TABLE',
      `No table of database "${database}" can be archived: ${describeNotArchived(tables)}`,
      'Give the tables primary keys, or REPLICA IDENTITY FULL.',
    );
  }
  return tables.notArchived.length === 0
    ? archived
    : `${archived}; not archived: ${describeNotArchived(tables)}`;
}
