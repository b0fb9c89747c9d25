import type { RestoreRequest } from '../../../model/backup.ts';
import type { DumpEntry } from '../dump-script.ts';
import { quoteIdentifier, quoteLiteral } from '../identifiers.ts';
import { withoutColocatedDatabase } from '../placement.ts';
import type { Statement } from '../sql-text.ts';
import type { DatabaseJob } from './job.ts';
import { withOwner } from './roles.ts';

/** `CREATE DATABASE` under the working name, with the encoding and locale of the source, and colocated where that was. Pure. */
export function createStatement(
  { database, manifest, names }: DatabaseJob,
  placement: RestoreRequest['placement'],
): string {
  const create = database.find(({ type }) => type === 'DATABASE')?.statements[0];
  if (create !== undefined) {
    const kept = placement === 'target' ? withoutColocatedDatabase(create) : create;
    return withDatabaseName(kept, manifest.name, names.working);
  }
  const { encoding, collate, ctype } = manifest;
  return (
    `CREATE DATABASE ${quoteIdentifier(names.working)} TEMPLATE template0 ENCODING ${quoteLiteral(encoding)} ` +
    `LC_COLLATE ${quoteLiteral(collate)} LC_CTYPE ${quoteLiteral(ctype)};`
  );
}

/** Everything else that the script says of the database (owner, settings, comment, grants), for the database's present name. Pure. */
export function propertyStatements(
  { database, manifest }: DatabaseJob,
  name: string,
  owner: string | undefined,
): readonly { readonly entry: DumpEntry; readonly text: string }[] {
  return database.flatMap((entry) =>
    entry.statements
      .filter(({ tokens }) => tokens[0]?.text !== 'create')
      .map((statement) => {
        const text = withOwner(statement, owner);
        return { entry, text: withDatabaseName({ ...statement, text }, manifest.name, name) };
      }),
  );
}

/** Puts another name behind the word DATABASE. */
export function withDatabaseName(statement: Statement, from: string, to: string): string {
  const { tokens, text, start } = statement;
  const place = tokens.findIndex(
    (token, at) => token.kind !== 'symbol' && token.text === from && tokens[at - 1]?.text === 'database',
  );
  const name = tokens[place];
  if (name === undefined) return text;
  return text.slice(0, name.start - start) + quoteIdentifier(to) + text.slice(name.end - start);
}
