import { Client, type ClientConfig } from 'pg';

/**
 * Creates a client for `database` on the server of `url`. It doesn't pass the name in a URL: pg leaves `%3D`, `%2F` and the like in a
 * URL's database name undecoded, so it would not find a database with such characters.
 */
export function superuser(url: string, database: string, application: string): Client {
  return new Client(superuserConfig(url, database, application));
}

export function superuserConfig(url: string, database: string, application: string): ClientConfig {
  const { hostname, port, username, password } = new URL(url);
  return {
    ...{ host: hostname, port: Number(port), database, application_name: application },
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
  };
}

/** Runs `work` in a new session on the server of `url`. If the server goes away meanwhile, `work` fails, but this process doesn't end. */
export async function asking<T>(
  url: string,
  application: string,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const client = new Client({ connectionString: url, application_name: application });
  client.on('error', (error) => process.stderr.write(`${application}: ${error.message}\n`));
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
