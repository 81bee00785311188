package server

import (
	"errors"
	"strings"

	"github.com/ClickHouse/ch-go/proto"

	"dnsmonster-sensor/outputs/secure"
)

// Class says what helps against an error.
type Class int

// Classes. MayBeStored limits them: a batch that may be stored stays with the replicas of
// its shard, which recognise it.
const (
	Retry        Class = iota // later, or at any server: this one is busy or away
	OtherReplica              // at another replica of the shard now, later at this one: the server cannot write this table
	Setup                     // not before somebody has put it right: Advice says what
	Rows                      // never: the server refuses values in the block
	Parts                     // as several blocks, each with fewer partitions
	Changed                   // after reading the table again; if the error stays: Setup
)

var classNames = [...]string{"retry", "other replica", "setup", "rows", "parts", "changed"}

func (c Class) String() string { return classNames[c] }

// Classify sorts an error of Dial, Query, Exec or Insert. An error that is not known is one to
// retry: nothing is lost by it.
func Classify(err error) Class {
	var said *Error
	switch {
	case errors.As(err, &said):
		return said.class()
	case errors.As(err, new(*changedError)):
		return Changed
	case errors.As(err, new(*setupError)), err != nil && secure.Advice(err, optionNames) != "":
		return Setup
	}
	return Retry
}

func (e *Error) class() Class {
	class := classes[proto.Error(e.Code)].class
	switch {
	case e.Code == int(proto.ErrTooManyParts) && strings.Contains(e.Message, "Too many partitions"):
		class = Parts
	case class == OtherReplica, class == Retry:
		return class
	}
	if e.View != "" {
		return Setup // the table may have the rows already: no other block may bring them again
	}
	return class
}

// kind is the class of a code, and why.
type kind struct {
	class  Class
	reason string
}

// classes lists the codes that say more than that something failed. A code that is not
// listed is retried.
var classes = map[proto.Error]kind{
	// The server is busy, or part of it is away.
	proto.ErrTimeoutExceeded:              {Retry, "took longer than max_execution_time, or waited too long for a lock"},
	proto.ErrTooSlow:                      {Retry, "slower than the user's profile permits"},
	proto.ErrCannotAllocateMemory:         {Retry, "memory is short"},
	proto.ErrMemoryLimitExceeded:          {Retry, "memory is short"},
	proto.ErrTooManySimultaneousQueries:   {Retry, "too many queries at once"},
	proto.ErrNoFreeConnection:             {Retry, "a Distributed table has no free connection"},
	proto.ErrAllConnectionTriesFailed:     {Retry, "a Distributed table does not reach its servers"},
	proto.ErrSocketTimeout:                {Retry, "the server lost a connection"},
	proto.ErrNetworkError:                 {Retry, "the server lost a connection"},
	proto.ErrCannotReadFromSocket:         {Retry, "the server lost a connection"},
	proto.ErrCannotWriteToSocket:          {Retry, "the server lost a connection"},
	proto.ErrAttemptToReadAfterEOF:        {Retry, "the data ended early: a cut connection"},
	proto.ErrCannotReadAllData:            {Retry, "the data ended early: a cut connection"},
	proto.ErrChecksumDoesntMatch:          {Retry, "compressed data arrived damaged"},
	proto.ErrCannotDecompress:             {Retry, "compressed data arrived damaged"},
	proto.ErrTooManyParts:                 {Retry, "merges do not keep up"},
	proto.ErrTooManyMutations:             {Retry, "mutations do not keep up"},
	proto.ErrServerOverloaded:             {Retry, "the server refuses work"},
	proto.ErrQuotaExceeded:                {Retry, "the user's quota is renewed after its interval"},
	proto.ErrLimitExceeded:                {Retry, "a limit that other work has filled"},
	proto.ErrUserSessionLimitExceeded:     {Retry, "the user has too many sessions at the moment"},
	proto.ErrReceivedErrorTooManyRequests: {Retry, "the store behind the table refuses work"},
	proto.ErrCannotScheduleTask:           {Retry, "no free thread"},
	proto.ErrDeadlockAvoided:              {Retry, "a lock was not obtained in time"},
	proto.ErrPartIsTemporarilyLocked:      {Retry, "parts are in use"},

	// This server cannot write; another one with the same data can.
	proto.ErrTableIsReadOnly:                   {OtherReplica, "the replica has lost Keeper"},
	proto.ErrNoZookeeper:                       {OtherReplica, "the replica has lost Keeper"},
	proto.ErrKeeperException:                   {OtherReplica, "the replica has lost Keeper"},
	proto.ErrUnexpectedZookeeperError:          {OtherReplica, "the replica has lost Keeper"},
	proto.ErrUnknownStatusOfInsert:             {OtherReplica, "Keeper was lost during the commit: the block may be stored"},
	proto.ErrAborted:                           {OtherReplica, "the server is shutting down"},
	proto.ErrQueryWasCancelled:                 {OtherReplica, "the server is shutting down, or somebody killed the query"},
	proto.ErrTooFewLiveReplicas:                {OtherReplica, "insert_quorum is not reached"},
	proto.ErrUnsatisfiedQuorumForPreviousWrite: {OtherReplica, "insert_quorum is not reached"},
	proto.ErrReplicaIsNotInQuorum:              {OtherReplica, "insert_quorum is not reached"},
	proto.ErrReplicaStatusChanged:              {OtherReplica, "the replica is starting or stopping"},
	proto.ErrTableIsBeingRestarted:             {OtherReplica, "the table is starting"},
	proto.ErrNotInitialized:                    {OtherReplica, "the table is starting"},
	proto.ErrAsyncLoadFailed:                   {OtherReplica, "the table is not loaded"},
	proto.ErrAsyncLoadCanceled:                 {OtherReplica, "the table is not loaded"},
	proto.ErrAsyncLoadWaitFailed:               {OtherReplica, "the table is not loaded"},
	proto.ErrAllReplicasLost:                   {OtherReplica, "the replica has lost its data"},
	proto.ErrNotEnoughSpace:                    {OtherReplica, "the disk is full"},
	proto.ErrCannotWriteToFileDescriptor:       {OtherReplica, "the disk is full or fails"},
	proto.ErrCannotReadFromFileDescriptor:      {OtherReplica, "the disk fails"},
	proto.ErrCannotOpenFile:                    {OtherReplica, "the disk fails"},
	proto.ErrCannotCloseFile:                   {OtherReplica, "the disk fails"},
	proto.ErrCannotFsync:                       {OtherReplica, "the disk fails"},
	proto.ErrCannotCreateDirectory:             {OtherReplica, "the disk is full or fails"},
	proto.ErrCorruptedData:                     {OtherReplica, "files of the table are damaged"},
	proto.ErrS3Error:                           {OtherReplica, "the store behind the table fails"},
	proto.ErrAzureBlobStorageError:             {OtherReplica, "the store behind the table fails"},

	// Somebody has to put it right.
	proto.ErrUnknownTable:                    {Setup, "no such table"},
	proto.ErrUnknownDatabase:                 {Setup, "no such database"},
	proto.ErrAuthenticationFailed:            {Setup, "user or password"},
	proto.ErrUnknownUser:                     {Setup, "user, before 20.6"},
	proto.ErrWrongPassword:                   {Setup, "password, before 20.6"},
	proto.ErrRequiredPassword:                {Setup, "password, before 20.6"},
	proto.ErrIPAddressNotAllowed:             {Setup, "the user may not log in from here, before 20.6"},
	proto.ErrUserExpired:                     {Setup, "the user's VALID UNTIL is over"},
	proto.ErrAccessDenied:                    {Setup, "a right is missing"},
	proto.ErrDatabaseAccessDenied:            {Setup, "a right is missing, before 20.6"},
	proto.ErrReadonly:                        {Setup, "the user's profile is readonly"},
	proto.ErrSettingConstraintViolation:      {Setup, "the user's profile fixes a setting that is sent"},
	proto.ErrUnknownSetting:                  {Setup, "the server lacks a setting that is sent"},
	proto.ErrReadonlySetting:                 {Setup, "a setting cannot be changed"},
	proto.ErrInvalidSettingValue:             {Setup, "a setting has a value that the server does not know"},
	proto.ErrQuotaRequiresClientKey:          {Setup, "the user's quota needs a key"},
	proto.ErrClientHasConnectedToWrongPort:   {Setup, "not the port of the native protocol"},
	proto.ErrClusterDoesntExist:              {Setup, "no such cluster"},
	proto.ErrBadGet:                          {Setup, "no such cluster, before 23.4"},
	proto.ErrNoElementsInConfig:              {Setup, "the server lacks a macro, or Keeper, in its configuration"},
	proto.ErrSyntaxError:                     {Setup, "the server does not know a statement: it is too old or too new"},
	proto.ErrUnknownIdentifier:               {Setup, "the server does not know a name in a statement"},
	proto.ErrUnknownFunction:                 {Setup, "the server does not know a function in a statement"},
	proto.ErrUnknownType:                     {Setup, "the server does not know a type in a statement"},
	proto.ErrUnknownStorage:                  {Setup, "the server does not know an engine in a statement"},
	proto.ErrNotImplemented:                  {Setup, "the table takes no rows: it is a view, or of such an engine"},
	proto.ErrBadArguments:                    {Setup, "a statement does not fit the server"},
	proto.ErrIllegalTypeOfArgument:           {Setup, "a column has a type that a view or key cannot use"},
	proto.ErrIllegalColumn:                   {Setup, "a column cannot be written"},
	proto.ErrSupportIsDisabled:               {Setup, "the server's configuration forbids it"},
	proto.ErrQueryIsProhibited:               {Setup, "the server's configuration forbids it"},
	proto.ErrReplicaAlreadyExists:            {Setup, "the table's path in Keeper is in use"},
	proto.ErrInconsistentClusterDefinition:   {Setup, "the cluster is not defined as the statement needs it"},
	proto.ErrSuspiciousTypeForLowCardinality: {Setup, "a type that the server forbids"},

	// The table is another one than the block was made for.
	proto.ErrNoSuchColumnInTable:        {Changed, "a column has gone"},
	proto.ErrNotFoundColumnInBlock:      {Changed, "a column has gone, or a view needs one"},
	proto.ErrThereIsNoColumn:            {Changed, "a column has gone, or a view needs one"},
	proto.ErrNumberOfColumnsDoesntMatch: {Changed, "columns were added or dropped"},
	proto.ErrTypeMismatch:               {Changed, "a column has another type now"},
	proto.ErrCannotConvertType:          {Changed, "a column has another type now"},
	proto.ErrIncompatibleColumns:        {Changed, "a column has another type now"},
	proto.ErrTableIsDropped:             {Changed, "dropped during the INSERT, and perhaps created again"},
	proto.ErrTableUUIDMismatch:          {Changed, "created again"},

	// Values in the block.
	proto.ErrCannotInsertNullInOrdinaryColumn:    {Rows, "a value is NULL"},
	proto.ErrViolatedConstraint:                  {Rows, "a CONSTRAINT of the table"},
	proto.ErrFunctionThrowIfValueIsNonZero:       {Rows, "throwIf in a view or default"},
	proto.ErrTooLargeStringSize:                  {Rows, "a value is too long"},
	proto.ErrTooLargeArraySize:                   {Rows, "an array is too long"},
	proto.ErrSizesOfArraysDontMatch:              {Rows, "arrays of a row have different lengths"},
	proto.ErrSizesOfNestedColumnsAreInconsistent: {Rows, "arrays of a row have different lengths"},
	proto.ErrValueIsOutOfRangeOfDataType:         {Rows, "a value does not fit"},
	proto.ErrArgumentOutOfBound:                  {Rows, "a value does not fit a view or key"},
	proto.ErrDecimalOverflow:                     {Rows, "a value does not fit"},
	proto.ErrUnknownElementOfEnum:                {Rows, "a value is not in the Enum"},
	proto.ErrIncorrectData:                       {Rows, "a value cannot be read"},
	proto.ErrInvalidPartitionValue:               {Rows, "a value gives no partition"},
	proto.ErrIllegalDivision:                     {Rows, "division by zero in a view or key"},
	proto.ErrTooManyRowsOrBytes:                  {Rows, "the block is larger than the user's profile permits"},
}
