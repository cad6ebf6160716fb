import { describe, expect, test } from 'bun:test'
import { ROOT, SOCKET, foundWithRoot, purpose, type Rule } from '../../test/said.ts'
import { CLONE_FILES } from '../linux/constants.ts'
import { HOST } from './program.ts'

const rules: readonly Rule[] = [
  [
    'a task is made before it is used',
    said => {
      said.call(70, 'setsid')
      said.call(70, 'setsid')
      said.place(71, said.open(HOST), 3)
      said.fill(72, [4096, 4096])
      said.child(73, 74)
      said.state(74)
      said.end(75, 76)
    },
    [
      'task 70 is used before it is made',
      'task 71 is used before it is made',
      'task 72 is used before it is made',
      'task 73 is used before it is made',
      'task 75 is used before it is made',
      'task 76 is used before it is made',
    ],
    said => {
      said.child(ROOT, 70)
      said.call(70, 'setsid')
      said.end(70, ROOT)
    },
  ],
  [
    'one that is made too late is told once',
    said => {
      const file = said.lend(70, said.open(HOST))
      said.child(ROOT, 70)
      said.call(70, 'close', file)
      said.state(70)
    },
    ['task 70 is used before it is made'],
    said => {
      said.child(ROOT, 70)
      said.call(70, 'close', said.lend(70, said.open(HOST)))
      said.state(70)
    },
  ],
  [
    'a task that ended is not used, nor are its threads',
    said => {
      said.child(ROOT, 70)
      said.thread(70, 71, 70)
      said.end(70)
      said.call(70, 'setsid')
      said.state(71)
    },
    ['task 70 is used after it ended', 'task 71 is used after it ended'],
    said => {
      said.child(ROOT, 70)
      said.thread(70, 71, 70)
      said.end(70)
    },
  ],
  [
    'a process is ended as such',
    said => {
      said.thread(ROOT, 67)
      said.end(67)
    },
    ['thread 67 is ended, which would end all of process 66', 'task 66 is used after it ended'],
    said => {
      said.child(ROOT, 67)
      said.end(67)
    },
  ],
  [
    "an id is one task's, even if that has ended",
    said => {
      said.child(ROOT, 70)
      said.end(70, ROOT)
      said.child(ROOT, 70)
      said.thread(ROOT, ROOT)
    },
    ['task 70 is made a second time', 'task 66 is made a second time'],
    said => {
      said.child(ROOT, 70)
      said.end(70, ROOT)
      said.child(ROOT, 71)
      said.state(71)
    },
  ],
  [
    'the coordinator makes the root alone, and once',
    said => {
      said.child(HOST, 70)
      said.state(70)
      said.root(71)
      said.state(71)
      said.root(72, ROOT)
      said.state(72)
    },
    [
      'task 70 is made by the coordinator, which makes the root alone',
      'a second root 71 is made',
      'the root 72 is made by task 66',
      'a second root 72 is made',
    ],
    () => {},
  ],
  [
    'a thread is made by its process',
    said => {
      said.child(ROOT, 70)
      said.thread(70, 71)
      said.state(70)
      said.state(71)
    },
    ['thread 71 of process 66 is made in process 70'],
    said => {
      said.thread(ROOT, 67)
      said.thread(67, 68)
      said.state(67)
      said.state(68)
    },
  ],
  [
    'an id can be one',
    said => {
      for (const id of [0, -1, 1.5]) {
        said.child(ROOT, id)
        said.state(id)
      }
    },
    ['0 is no id for a task', '-1 is no id for a task', '1.5 is no id for a task'],
    said => {
      said.child(ROOT, 1)
      said.state(1)
    },
  ],
  [
    'a number holds one file, over all steps',
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500, 501, 500)
      said.place(ROOT, file, 501)
    },
    ['two files are placed on descriptor 500', 'two files are placed on descriptor 501'],
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500, 501)
      said.place(ROOT, file, 502)
      said.call(ROOT, 'close', 501)
      said.place(ROOT, file, 501)
    },
  ],
  [
    'of each table',
    said => {
      const file = said.open(HOST)
      said.child(ROOT, 70, CLONE_FILES)
      said.place(ROOT, file, 500)
      said.place(70, file, 500)
      said.state(70)
    },
    ['two files are placed on descriptor 500'],
    said => {
      const file = said.open(HOST)
      said.child(ROOT, 70)
      said.place(ROOT, file, 500)
      said.place(70, file, 500)
      said.state(70)
    },
  ],
  [
    'and a child has what its parent had',
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500)
      said.child(ROOT, 70)
      said.place(70, file, 500)
      said.state(70)
    },
    ['two files are placed on descriptor 500'],
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500)
      said.child(ROOT, 70)
      said.call(70, 'close_range', 3, 0xffffffff, 4)
      said.call(70, 'close_range', 500, 500, 0)
      said.place(70, file, 500)
      said.call(ROOT, 'close_range', 400, 600, 0)
      said.place(ROOT, file, 500)
      said.state(70)
    },
  ],
  [
    'duplicates too',
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500)
      said.call(ROOT, 'dup3', 500, 501, 0)
      said.place(ROOT, file, 501)
    },
    ['two files are placed on descriptor 501'],
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 500)
      const copy = said.builder.call(purpose, ROOT, 'fd', [], 'dup2', [500, 501])
      said.call(ROOT, 'close', copy)
      said.place(ROOT, file, 501)
    },
  ],
  [
    'the lowest numbers are free when files are placed',
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 0, 1)
      said.place(ROOT, file, 2)
      said.child(ROOT, 70)
      said.call(70, 'close_range', 0, 0xffffffff, 0)
      said.lend(70, file)
      said.place(70, file, 0)
      said.state(70)
    },
    [
      'files cannot be placed in task 66: descriptor 0 is in the way',
      'descriptor 1000 is closed, by which files are passed',
      'files cannot be placed in task 70: a file that it was lent is in the way',
    ],
    said => {
      const file = said.open(HOST)
      said.place(ROOT, file, 5, 1)
      said.place(ROOT, file, 2)
      said.child(ROOT, 70)
      said.call(70, 'close_range', 0, 900, 0)
      said.call(70, 'close', said.lend(70, file))
      said.place(70, file, ...Array.from({ length: 700 }, (_, index) => index))
      said.state(70)
    },
  ],
  [
    'a number can be one',
    said => said.place(ROOT, said.open(HOST), -1, 1.5, 2 ** 31),
    ['-1 is no number of a descriptor', '1.5 is no number of a descriptor', '2147483648 is no number of a descriptor'],
    said => said.place(ROOT, said.open(HOST), 2 ** 31 - 1),
  ],
  [
    "the socket's number is no task's",
    said => {
      said.place(ROOT, said.open(HOST), SOCKET)
      said.call(ROOT, 'dup3', 0, SOCKET, 0)
    },
    [
      'a file is placed on 1000, the descriptor by which files are passed',
      'a file is placed on 1000, the descriptor by which files are passed',
      'two files are placed on descriptor 1000',
    ],
    said => said.place(ROOT, said.open(HOST), SOCKET - 1, SOCKET + 1),
  ],
  [
    'and stays open',
    said => said.call(ROOT, 'close', SOCKET),
    ['descriptor 1000 is closed, by which files are passed'],
    said => said.call(ROOT, 'close_range', SOCKET + 1, 0xffffffff, 0),
  ],
  [
    'each living thread has one state',
    said => {
      said.thread(ROOT, 67)
      said.child(ROOT, 70)
      said.state(ROOT)
    },
    ['thread 67 has no state to go on with', 'thread 70 has no state to go on with', 'thread 66 has a state already'],
    said => {
      said.thread(ROOT, 67)
      said.child(ROOT, 70)
      said.end(70)
      said.state(67)
    },
  ],
  [
    'a task makes only calls that are known to be safe',
    said => {
      said.call(ROOT, 'execve', 'x', 0, 0)
      said.call(ROOT, 'exit', 0)
      said.call(ROOT, 'ptrace', 0)
      said.call(ROOT, 'recvmsg', 3, 0, 0)
    },
    [
      'task 66 may not call execve',
      'task 66 may not call exit',
      'task 66 may not call ptrace',
      'task 66 may not call recvmsg',
    ],
    said => {
      said.call(HOST, 'recvmsg', 3, 0, 0)
      said.call(ROOT, 'setsid')
    },
  ],
  [
    'and for itself',
    said => {
      said.child(ROOT, 70)
      said.call(ROOT, 'kill', 70, 9)
      said.call(ROOT, 'tgkill', ROOT, 70, 9)
      said.call(ROOT, 'rt_sigqueueinfo', said.call(ROOT, 'getpid'), 1, 0)
      said.call(ROOT, 'prlimit64', 70, 0, 0, 0)
      said.call(ROOT, 'setpriority', 1, 0, 0)
      said.call(70, 'kill', 0, 9)
      said.state(70)
    },
    [
      'task 66 may not call kill',
      'task 66 may not call tgkill',
      'task 66 may not call rt_sigqueueinfo',
      'task 66 may not call prlimit64',
      'task 66 may not call setpriority',
      'task 70 may not call kill',
    ],
    said => {
      said.thread(ROOT, 67)
      said.call(ROOT, 'kill', ROOT, 9)
      said.call(67, 'rt_tgsigqueueinfo', ROOT, 67, 1, 0)
      said.call(ROOT, 'tgkill', ROOT, 67, 9)
      said.call(ROOT, 'prlimit64', 0, 0, 0, 0)
      said.call(ROOT, 'setpriority', 0, 0, 0)
      said.call(ROOT, 'setpgid', 0, 70)
      said.state(67)
    },
  ],
]

describe('rules of tasks, their descriptors and their calls', () => {
  for (const [name, wrong, findings, right] of rules)
    test(name, () => {
      expect(foundWithRoot(wrong)).toEqual([...findings])
      expect(foundWithRoot(right)).toEqual([])
    })
})
