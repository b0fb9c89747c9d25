import pg from 'pg';

/** Runs texts of SQL one after another in a session of their own; returns the last one's rows. */
export async function query(url: string, ...texts: readonly string[]): Promise<readonly pg.QueryResultRow[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    let rows: readonly pg.QueryResultRow[] = [];
    // Several statements in one text have several results, and none that counts.
    for (const text of texts) rows = (await client.query(text)).rows ?? [];
    return rows;
  } finally {
    await client.end();
  }
}
