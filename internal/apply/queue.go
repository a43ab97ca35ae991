package apply

import (
	"cmp"
	"container/heap"
	"time"
)

// queue is a heap of slots by whose turn comes first.
type queue []*parked

// put has the slot come at this time, whether it is in the queue or not.
func (q *queue) put(k *parked, at time.Time) {
	k.at = at
	if k.n >= 0 {
		heap.Fix(q, k.n)
		return
	}
	heap.Push(q, k)
}

// remove takes the slot out, if it is in.
func (q *queue) remove(k *parked) {
	if k.n >= 0 {
		heap.Remove(q, k.n)
	}
}

func (q queue) Len() int { return len(q) }

func (q queue) Less(i, j int) bool {
	x, y := q[i].head(), q[j].head()
	return cmp.Or(q[i].at.Compare(q[j].at), cmp.Compare(x.Seq, y.Seq), cmp.Compare(x.Index, y.Index), cmp.Compare(x.Task, y.Task)) < 0
}

func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].n, q[j].n = i, j
}

// Push implements heap.Interface.
func (q *queue) Push(x any) {
	k := x.(*parked) //nolint:forcetypeassert // nothing else is put
	k.n = len(*q)
	*q = append(*q, k)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	k := (*q)[last]
	(*q)[last], k.n = nil, -1
	*q = (*q)[:last]
	return k
}
