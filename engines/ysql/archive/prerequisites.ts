import { formatAmount } from '../../../model/amounts.ts';
import type { ArchivePolicy } from '../../../model/archive.ts';
import { type Check, check } from '../../../model/check.ts';
import { permanent } from '../../../model/errors.ts';
import type { YsqlSource } from '../../../model/pipeline.ts';
import type { VerbContext } from '../../engine.ts';
import { selectedDatabases } from '../databases.ts';
import { archiveName } from '../server/archive-names.ts';
import type { ConnectionTarget } from '../server/connection-url.ts';
import { readServer } from '../server/server.ts';
import { onlyRow, resolveTarget, withSession } from '../server/session.ts';
import { archiveSource } from './archive-source.ts';
import { describeNotArchived } from './slot.ts';
import type { ArchiveSource, ServerSettings, SourcePrerequisites } from './source-kind.ts';
import { type ArchivableTables, archivableTables } from './tables.ts';

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
  let known: SourcePrerequisites | undefined;
  const logical = await check('archive: the server logs changes of rows', async () => {
    const { kind, server, settings } = await found();
    known = kind.prerequisites;
    return known.logsChanges(server, settings);
  });
  // The rest would only repeat what is wrong.
  if (!logical.ok || known === undefined) return [logical];
  const { needsSenders, keeps, baseIsReadAt } = known;
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
      if (needed > free || (needsSenders && databases.length > settings.maxSenders)) {
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
      return keeps(settings, policy);
    }),
    ...(baseIsReadAt === undefined
      ? []
      : [
          await check('archive: a base is read at an instant', async () => {
            const where = await target();
            return await withSession(where, where.database, verb.signal, baseIsReadAt);
          }),
        ]),
    await tablesCheck(verb, source, plan, target, found),
  ];
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
