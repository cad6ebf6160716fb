// Questions that only a task can answer about itself: calls put into a table, and their answers read when it has run.
import type { Table } from '../../tracee/table.ts'

/** Adds its calls to the table; what it returns reads the answers, once the table has run. */
export type Question<T> = (table: Table) => () => T
