import type { Session } from './session.ts';

/** A node of a universe, as `yb_servers()` lists it. */
export interface YbServer {
  readonly host: string;
  /** Port of its YSQL. */
  readonly port: number;
  /** Empty where it has none. */
  readonly publicIp: string;
  /** UUID of its tablet server; older releases don't report it. */
  readonly uuid?: string;
}

/** Lists the nodes of the session's universe. Releases differ in the columns that they report. */
export async function readYbServers(session: Session): Promise<readonly YbServer[]> {
  const rows = await session.query<{
    server: { host?: string; port?: number | string; public_ip?: string | null; uuid?: string | null };
  }>('list the nodes of the universe', 'SELECT to_json(s) AS server FROM yb_servers() s');
  return rows.map(({ server: { host = '', port = 0, public_ip, uuid } }) => ({
    host,
    port: Number(port),
    publicIp: public_ip ?? '',
    ...(typeof uuid === 'string' && uuid !== '' ? { uuid } : {}),
  }));
}
