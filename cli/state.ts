import { homedir } from 'node:os';
import { join } from 'node:path';

/** Folder of the embedded server's and worker's state: `HOLDFAST_STATE_DIR`, else the user's state folder. */
export function stateDirectory(): string {
  return (
    process.env.HOLDFAST_STATE_DIR ??
    join(process.env.XDG_STATE_HOME ?? join(homedir(), '.local', 'state'), 'holdfast')
  );
}
