import { Client } from 'pg';

/**
 * A client of `database` at the server of `url`. The name is no part of a URL: pg leaves `%3D`, `%2F` and the like in a URL's name as
 * they are, so a database whose name has one of those characters would not be found.
 */
export function superuser(url: string, database: string, application: string): Client {
  const { hostname, port, username, password } = new URL(url);
  return new Client({
    ...{ host: hostname, port: Number(port), database, application_name: application },
    user: decodeURIComponent(username),
    password: decodeURIComponent(password),
  });
}
