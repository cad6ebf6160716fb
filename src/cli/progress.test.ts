import { expect, test } from 'bun:test'
import { human, progressLine } from './progress.ts'

test('bytes have three digits', () => {
  expect([0, 999, 1000, 1234, 12_345, 123_456, 999_499, 999_600, 1.5e9, 2e15].map(human)).toEqual([
    '0 B',
    '999 B',
    '1.00 kB',
    '1.23 kB',
    '12.3 kB',
    '123 kB',
    '999 kB',
    '1.00 MB',
    '1.50 GB',
    '2000 TB',
  ])
})

test('the line has stage, bytes and rate, and fits', () => {
  expect(progressLine('writing memory', 50e6, 200e6, 500, 80)).toBe('writing memory  50.0 MB of 200 MB (25%)  100 MB/s')
  expect(progressLine('collecting tasks', 0, 0, 500, 80)).toBe('collecting tasks')
  expect(progressLine('writing memory', 50e6, 0, 0, 80)).toBe('writing memory  50.0 MB')
  expect(progressLine('writing memory', 50e6, 200e6, 500, 30)).toHaveLength(29)
})
