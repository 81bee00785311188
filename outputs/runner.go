package outputs

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"dnsmonster-sensor/userspace/account"
	"dnsmonster-sensor/userspace/event"
)

// afterCancel is how long Stop waits for writers whose context has ended.
const afterCancel = time.Second

// Runner does for one output what all outputs need: batches, queue, writers,
// retries, timeouts and books. Lanes give it events through intakes.
//
//	lane: Intake.Offer -> open block -> Queue -> worker -> Writer
type Runner struct {
	out    Output
	set    Settings
	live   bool
	ids    *event.IDs
	book   *account.Book
	log    *slog.Logger
	health health

	queue *Queue
	free  freeBlocks

	ctx     context.Context // ends what waits and what is under way
	cancel  context.CancelFunc
	workers []*worker
	running sync.WaitGroup

	gone     chan struct{}
	goneOnce sync.Once
	goneErr  error // written before gone is closed

	stop sync.Mutex
	page *account.Page // what Stop and giveUp throw away; guarded by stop
}

// NewRunner makes a runner that does nothing before Start but take events. live
// says what a full queue means: behind a live source its events are dropped and
// counted, behind any other the lanes wait. book comes from
// account.NewDeliveryBook and is this runner's alone.
func NewRunner(out Output, set Settings, live bool, ids *event.IDs, book *account.Book, log *slog.Logger) (*Runner, error) {
	if err := set.Validate(); err != nil {
		return nil, fmt.Errorf("set up output %s: %w", out.Name(), err)
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("output", out.Name())
	r := &Runner{
		out: out, set: set.withDefaults(), live: live, ids: ids, book: book, log: log,
		health: health{log: log},
		free:   make(freeBlocks, set.Workers+16),
		gone:   make(chan struct{}),
		page:   book.Page(),
	}
	r.queue = NewQueue(r.set.QueueBytes, book.Page())
	r.ctx, r.cancel = context.WithCancel(context.Background())
	for range set.Workers {
		r.workers = append(r.workers, &worker{r: r, page: book.Page()})
	}
	return r, nil
}

// Start starts the writers, once. The end of ctx ends everything at once: lanes
// that wait go on, attempts under way are cancelled, and what is left counts as
// abandoned. For an orderly end call Stop while ctx still lasts.
func (r *Runner) Start(ctx context.Context) {
	context.AfterFunc(ctx, r.cancel)
	for _, w := range r.workers {
		r.running.Go(func() { w.run(r.ctx) })
	}
}

// Gone is closed when the output cannot go on: its reader has left, or opening
// it failed for good. From then on all it is offered counts as abandoned, and
// nobody waits for it.
func (r *Runner) Gone() <-chan struct{} { return r.gone }

// Err is why Gone was closed, nil before.
func (r *Runner) Err() error {
	select {
	case <-r.gone:
		return r.goneErr
	default:
		return nil
	}
}

// Stop lets the writers finish what is queued until ctx ends, abandons the rest
// and closes them. Call it when every intake has been flushed. It returns soon
// after the end of ctx, even when a writer does not.
func (r *Runner) Stop(ctx context.Context) {
	r.queue.Close()
	done := make(chan struct{})
	go func() {
		r.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
	r.cancel()
	select {
	case <-done:
	case <-time.After(afterCancel):
		r.log.Warn("a writer does not end, its block counts as abandoned", "waited", afterCancel)
		for _, w := range r.workers {
			w.writeOff()
		}
	}
	r.abandonQueued()
}

// Ledger reads the books. offered is what the lanes say they offered.
func (r *Runner) Ledger(offered func() uint64) account.Ledger {
	return account.DeliveryLedger(r.out.Name(), r.book, offered)
}

func (r *Runner) put(b *event.Block) PutResult {
	if r.live {
		return r.queue.TryPut(b)
	}
	return r.queue.Put(r.ctx, b)
}

func (r *Runner) giveUp(err error) {
	r.goneOnce.Do(func() {
		r.goneErr = err
		close(r.gone)
	})
	r.queue.Close()
	r.cancel() // what this worker met, the others will meet
	r.abandonQueued()
}

func (r *Runner) abandonQueued() {
	r.stop.Lock()
	defer r.stop.Unlock()
	r.page.Add(account.Abandoned, r.queue.Drain())
	r.page.Publish()
}
