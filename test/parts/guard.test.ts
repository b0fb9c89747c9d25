import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { eventually, isRunning } from '../support/processes.ts';

type Started = { readonly pids: readonly number[]; readonly folders: readonly string[] };

describe('however a program that started servers ends, the servers and their folders go', () => {
  it.each([
    ['kill -9', 'waits', (program: ChildProcess) => program.kill('SIGKILL')],
    ['Ctrl-C', 'waits', (program: ChildProcess) => program.kill('SIGINT')],
    ['an uncaught error', 'throws', () => true],
    ['process.exit', 'exits', () => true],
    ['having no more to do', 'ends', () => true],
  ])('%s', async (_how, behaviour, finish) => {
    const program = spawn(process.execPath, [path.join(__dirname, 'everything.ts'), behaviour], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const closed = once(program, 'close');
    const [line] = await once(createInterface({ input: program.stdout }), 'line');
    const { pids, folders }: Started = JSON.parse(line);
    expect(pids).toHaveLength(4);
    finish(program);
    await closed;
    for (const pid of pids) await eventually(`process ${pid} has ended`, async () => !(await isRunning(pid)));
    for (const folder of folders) await eventually(`${folder} is gone`, async () => !existsSync(folder));
  });
});
