import type { RelationMessage } from '../../../engines/ysql/archive/messages.ts';
import { readTargetTable } from '../../../engines/ysql/archive/target-table.ts';
import { parseConnectionUrl } from '../../../engines/ysql/server/connection-url.ts';
import { withSession } from '../../../engines/ysql/server/session.ts';
import { startPostgres } from '../../../parts/postgres.ts';
import { query } from '../../support/sql.ts';

test('a column of a type of information_schema, which each version numbers as it likes, is the same in another version', async () => {
  const [source, target] = await Promise.all([startPostgres({ version: 18 }), startPostgres()]);
  try {
    const numbered = "SELECT 'information_schema.sql_identifier'::regtype::oid::int AS oid";
    const [there, here] = [await query(source.url(), numbered), await query(target.url(), numbered)];
    expect(there).not.toEqual(here);
    await query(
      target.url(),
      'CREATE TABLE t AS SELECT table_name FROM information_schema.tables',
      'ALTER TABLE t REPLICA IDENTITY FULL',
    );
    const column = { name: 'table_name', isKey: true, typeOid: Number(there[0]?.oid), typeModifier: -1 };
    const relation: RelationMessage = {
      kind: 'relation',
      oid: 1,
      schema: 'public',
      table: 't',
      identity: 'f',
      columns: [column],
    };
    const { signal } = new AbortController();
    await withSession(parseConnectionUrl(target.url()), 'postgres', signal, async (session) => {
      const { columns } = await readTargetTable(session, relation);
      expect(columns.map(({ type }) => type)).toEqual(['information_schema.sql_identifier']);
    });
  } finally {
    await Promise.all([source.stop(), target.stop()]);
  }
});
