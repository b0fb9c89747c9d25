import { quoteIdentifier } from './identifiers.ts';
import type { Statement } from './sql-text.ts';

/** Returns the statement with `to` in place of `from` after the word DATABASE. */
export function withDatabaseName(statement: Statement, from: string, to: string): string {
  const { tokens, text, start } = statement;
  const place = tokens.findIndex(
    (token, at) => token.kind !== 'symbol' && token.text === from && tokens[at - 1]?.text === 'database',
  );
  const name = tokens[place];
  if (name === undefined) return text;
  return text.slice(0, name.start - start) + quoteIdentifier(to) + text.slice(name.end - start);
}
