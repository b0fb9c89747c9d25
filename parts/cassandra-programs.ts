import { execFile } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { withLock } from '../bootstrap/lock.mjs';
import { messageOf, permanent } from '../model/errors.ts';
import { findOnPath } from './path.ts';
import { type Report, toStandardError } from './report.ts';
import { cacheFolder, fillWhole } from './tools.ts';

/** Error codes for a missing Java or Maven. */
export const JAVA_MISSING = 'CASSANDRA_NEEDS_JAVA';
export const MAVEN_MISSING = 'CASSANDRA_NEEDS_MAVEN';

/** A runnable set of jars from Maven Central, kept in the user's cache folder. */
export type JarSet = {
  readonly name: string;
  readonly version: string;
  /** Each `group:artifact`. The set is these and their runtime dependencies. */
  readonly artifacts: readonly string[];
  /** True: unpack the jars instead of keeping them. */
  readonly unpacked?: boolean;
  /** Shown before the download starts. */
  readonly size: string;
};

/** The newest release of 5.0, which speaks protocol 4, as YCQL does. */
const CASSANDRA: JarSet = {
  name: 'cassandra',
  version: '5.0.9',
  artifacts: ['org.apache.cassandra:cassandra-all'],
  size: 'about 70 MB',
};

/** Paths of the programs that run Cassandra. */
export type CassandraPrograms = {
  readonly java: string;
  /** For `-cp`. */
  readonly classPath: string;
  /** jamm, for `-javaagent`. */
  readonly agent: string;
};

/**
 * Finds Java and Cassandra's jars. Maven fetches the jars once into the cache folder.
 *
 * @throws HoldfastError `CASSANDRA_NEEDS_JAVA`, `CASSANDRA_NEEDS_MAVEN`, `TOOL_BUILD`
 */
export async function cassandraPrograms(report: Report = toStandardError): Promise<CassandraPrograms> {
  const java = await findJava();
  const folder = await jarsOf(CASSANDRA, report);
  const agent = (await readdir(folder)).find((file) => file.startsWith('jamm-'));
  if (agent === undefined) throw brokenJars(CASSANDRA, folder, 'there is no jamm among them');
  return { java, classPath: path.join(folder, '*'), agent: path.join(folder, agent) };
}

/** @throws HoldfastError `CASSANDRA_NEEDS_JAVA` */
export async function findJava(): Promise<string> {
  const java = await findOnPath('java');
  if (java !== undefined) return java;
  throw permanent(
    JAVA_MISSING,
    'Cassandra, which stands in for YCQL, needs Java, which is not on PATH',
    'Install Java 17 (`apt-get install openjdk-17-jre-headless` on Debian and Ubuntu, `brew install openjdk@17` on macOS).',
  );
}

/**
 * Returns the folder with the jars of a set, or with their contents.
 *
 * @throws HoldfastError `CASSANDRA_NEEDS_MAVEN`, `TOOL_BUILD`
 */
export async function jarsOf(set: JarSet, report: Report = toStandardError): Promise<string> {
  const folder = cacheFolder(`${set.name}-${set.version}`);
  return await withLock(
    `${folder}.lock`,
    { onWait: (pid) => report(`${label(set)}: process ${pid} is fetching it; waiting for it`) },
    async () => {
      if (!(await isFetched(folder))) await fetchJars(set, folder, report);
      return folder;
    },
  );
}

async function isFetched(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).length > 0;
  } catch {
    return false; // not there yet
  }
}

async function fetchJars(set: JarSet, folder: string, report: Report): Promise<void> {
  const maven = await findOnPath('mvn');
  if (maven === undefined) {
    throw permanent(
      MAVEN_MISSING,
      `${label(set)} isn't on this machine yet, and fetching it needs Maven, which is not on PATH`,
      'Install Maven (`apt-get install maven` on Debian and Ubuntu, `brew install maven` on macOS).',
    );
  }
  report(`${label(set)}: fetching it from Maven Central, once (${set.size})`);
  const startedAt = Date.now();
  await fillWhole(folder, async (beside) => {
    const pom = path.join(beside, 'pom.xml');
    await writeFile(pom, pomOf(set));
    const goal = set.unpacked === true ? 'dependency:unpack-dependencies' : 'dependency:copy-dependencies';
    const words = ['-B', '-q', '-f', pom, goal, `-DoutputDirectory=${beside}`, '-DincludeScope=runtime'];
    try {
      await promisify(execFile)(maven, words, { maxBuffer: 64 * 1024 * 1024 });
    } catch (error) {
      throw brokenJars(set, folder, messageOf(error), error);
    }
  });
  report(`${label(set)}: fetched in ${Math.round((Date.now() - startedAt) / 1000)} s, kept in ${folder}`);
}

function pomOf({ artifacts, version }: JarSet): string {
  const dependencies = artifacts.map((artifact) => {
    const [groupId = '', artifactId = ''] = artifact.split(':');
    return `<dependency><groupId>${groupId}</groupId><artifactId>${artifactId}</artifactId><version>${version}</version></dependency>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>holdfast.parts</groupId>
  <artifactId>jars</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    ${dependencies.join('\n    ')}
  </dependencies>
  <build>
    <plugins>
      <plugin><groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version></plugin>
    </plugins>
  </build>
</project>
`;
}

function brokenJars(set: JarSet, folder: string, why: string, cause?: unknown) {
  return permanent(
    'TOOL_BUILD',
    `${label(set)} could not be fetched: ${why}`,
    `Check the network and Maven's settings, remove ${folder} if it is there, and try again.`,
    cause,
  );
}

function label({ name, version }: JarSet): string {
  return `${name} ${version}`;
}
