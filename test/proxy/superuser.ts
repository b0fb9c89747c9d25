import { Client, type ClientConfig } from 'pg';

/**
 * A client of `database` at the server of `url`. The name is no part of a URL: pg leaves `%3D`, `%2F` and the like in a URL's name as
 * they are, so a database whose name has one of those characters would not be found.
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

/** Asks the server of `url` something in a session of its own. That the server goes away between answers ends the question, and not this process. */
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
