import pg from 'pg';

/** Runs SQL texts one after another in a new session. Returns the rows of the last one. */
export async function query(url: string, ...texts: readonly string[]): Promise<readonly pg.QueryResultRow[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    let rows: readonly pg.QueryResultRow[] = [];
    // A text with several statements has several results; none of them counts.
    for (const text of texts) rows = (await client.query(text)).rows ?? [];
    return rows;
  } finally {
    await client.end();
  }
}
