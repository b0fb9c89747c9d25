import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseConnectionUrl } from '../../activities/ysql/connection-url.ts';
import { schemaScripts } from '../../activities/ysql/dump-sections.ts';
import { lostByYsqlDump } from '../../activities/ysql/lost-by-dump.ts';
import { putScript } from '../../activities/ysql/scripts.ts';
import { withSession } from '../../activities/ysql/session.ts';
import type { ObjectEntry } from '../../model/backup.ts';
import { CLIENT_LINES, type ClientLineName } from '../proxy/client-lines.ts';
import { asYsqlDump, asYsqlDumpall, type DumpRequest } from '../proxy/dump-text.ts';
import type { TestBackup, TestServer } from './harness.ts';

/**
 * A backup whose scripts are what the programs of a release line write: PostgreSQL's own text, rewritten as the facts tell
 * (`test/proxy/dump-text.ts`).
 */
export async function dumpedByYsql(
  server: TestServer,
  backup: TestBackup,
  lineName: ClientLineName,
): Promise<TestBackup> {
  const line = CLIENT_LINES[lineName];
  const databases = [];
  for (const [index, database] of backup.manifest.databases.entries()) {
    const script = await run(server, 'pg_dump', [
      '--section=pre-data',
      '--section=post-data',
      '--create',
      server.url(database.name),
    ]);
    const part = (sections: DumpRequest['sections']) =>
      asYsqlDump(script, line, { metadata: false, roleChecks: false, statistics: line.statistics, sections });
    const scripts = schemaScripts(part(['pre-data']), part(['post-data']), { excluded: [] });
    const lost = await withSession(
      parseConnectionUrl(server.url()),
      database.name,
      backup.context.signal,
      (session) => lostByYsqlDump(session, { excluded: [] }),
    );
    const put = (name: 'database' | 'pre-data' | 'post-data', text: string) =>
      putScript(backup.context, backup.readPoint, `${index}/${name}`, text);
    databases.push({
      ...database,
      schemaObjects: [
        await put('database', scripts.database),
        await put('pre-data', scripts.preData),
        await put('post-data', scripts.postData + lost),
        ...database.schemaObjects.filter(({ key }) => !/\/(?:database|pre-data|post-data)-/.test(key)),
      ],
    });
  }
  const commonObjects: ObjectEntry[] = [];
  for (const object of backup.manifest.commonObjects) {
    if (!/\/globals-/.test(object.key)) commonObjects.push(object);
    else {
      const globals = await run(server, 'pg_dumpall', ['--globals-only', `--dbname=${server.url()}`]);
      commonObjects.push(
        await putScript(backup.context, backup.readPoint, 'globals', asYsqlDumpall(globals, line)),
      );
    }
  }
  return { ...backup, manifest: { ...backup.manifest, databases, commonObjects } };
}

async function run(server: TestServer, program: string, args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(join(server.binDirectory, program), [...args], {
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout;
}
