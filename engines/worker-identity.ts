import { hostname } from 'node:os';
import type { WorkerIdentity } from '../model/doctor.ts';
import packageJson from '../package.json' with { type: 'json' };

/** This process as Temporal's pages name it; `worker/main.ts` gives Temporal the same name. */
export function workerIdentity(): WorkerIdentity {
  const host = hostname();
  return { identity: `${process.pid}@${host}`, host, version: packageJson.version };
}
