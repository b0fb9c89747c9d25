import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createScratchFolder, type ScratchFolder } from '../../parts/scratch.ts';

/** Runs `use` with an empty folder and removes it afterwards, even when `use` throws. */
export async function withScratchFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), 'holdfast-test-'));
  try {
    return await use(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Provides an empty folder for each test of the calling suite, and removes all of them after the last. */
export function folderForEachTest(name: string): () => string {
  let scratch: ScratchFolder;
  let folder = '';
  let count = 0;
  beforeAll(async () => {
    scratch = await createScratchFolder(name);
  });
  afterAll(() => scratch.remove());
  beforeEach(async () => {
    folder = path.join(scratch.path, String(++count));
    await mkdir(folder);
  });
  return () => folder;
}

/** Writes a shell script that stands in for a program, into a folder to be put on PATH. */
export async function writeProgram(folder: string, name: string, script: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const file = path.join(folder, name);
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
}
