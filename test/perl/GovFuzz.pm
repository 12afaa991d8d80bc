# What a fuzzer throws at the extension: values of every type that its functions take, as SQL expressions, from a generator that a
# seed replays. Half of them are meant well, with names, keys and shapes that exist, so that calls get far; the others are what no
# client should send. Rows that have random ids are named by their place, as fuzz.hold(3), so that a call can be repeated.

package GovFuzz;

use strict;
use warnings;

use Exporter 'import';

our @EXPORT = qw(fuzz_seed fuzz_learn fuzz_value fuzz_int fuzz_one_of fuzz_chance fuzz_text_literal fuzz_data);

# ---------------------------------------------------------------- chance

my $state;

# A generator of its own: the same numbers on every machine and perl (xorshift of 32 bits).
sub fuzz_seed { my ($seed) = @_; $state = ($seed * 2654435761 + 88172645) & 0xffffffff || 1; fuzz_int(2) for 1 .. 16; return; }

# Below n.
sub fuzz_int
{
	my ($n) = @_;

	$state ^= ($state << 13) & 0xffffffff;
	$state ^= $state >> 17;
	$state ^= ($state << 5) & 0xffffffff;
	return $state % $n;
}

sub fuzz_one_of { return $_[ fuzz_int(scalar @_) ]; }
sub fuzz_chance { return fuzz_int(1000) < $_[0] * 1000; }

# ---------------------------------------------------------------- what exists

my @OWNERS = ('acme', 'globex', "o'wn\xc3\xa9r \xe6\xbc\xa2");
my @ENTITIES = (qw(acme eng ops ann ben cyd bot gpt opus), "t\xc3\xa9am", 'guest-1', 'guest-2', 'pet-1');
my @CAPABILITIES = qw(tokens calls streams dollars pooled);
my @TYPES = qw(org team user agent model guest pet);
my @DIMENSION_KEYS = qw(orgId teamId userId agentId modelId model guestId petId feature requestId);
my @CADENCES = qw(P1Y P1M P3M P30D P1W P1D PT1H PT5M PT1M PT1S P9999Y P1M1D p1m PT0S P-1D P10000Y P);
my @TIMEZONES = ('UTC', 'Asia/Kolkata', 'America/New_York', 'Pacific/Apia', 'Europe/London', '+25', 'UTC+5', 'posixrules', 'foo', 'GMT0', '../../etc/passwd', '<A>-24');
my @TIMES = ('now', 'today', 'infinity', '-infinity', 'epoch', '294276-12-31 23:59:59.999999+00', '4713-01-01 00:00:00+00 BC', '4714-11-24 00:00:00+00 BC', '0001-01-01', '2001-01-01', '2024-02-29 12:00+05:45', '2026-03-29 01:30 Europe/London', '9999-12-31', '1900-01-01 00:00:00.000001');
my @NUMERICS = (qw(0 1 1 1 2 5 7.25 100 -1 -0.000000001 0.000000001 0.0000000005 1e18 999999999999999999.999999999 -999999999999999999.999999999 1e131071 -1e131071 1e-16383 NaN Infinity -Infinity 12345678901234567890123456789 33.333333333 9223372036854775808 1e308), '1' . '0' x 400, '0.' . '3' x 300);
my @INTS = (0, 1, 1, 2, 3, 5, 10, 16, 20, 64, 100, 101, 255, 1000, -1, -2, 2147483647, -2147483648);
my @BIGINTS = (0, 1, 2, 3, 10, -1, 4294967296, '9223372036854775807', '-9223372036854775808');
my @INTERVALS = ('5 minutes', '1 hour', '1 day', '1 mon', '1 year', '7 days', '0', '-1 second', '1 microsecond', '1 mon -30 days', '1 day -24:00', '178000000 years', '-178000000 years', '2147483647 days', '100000 years', '90 minutes', '1 year 2 mons 3 days 04:05:06.7', '2562047788:00:54.775807');
my @WORDS = (qw(asc desc own subtree all recorded tree hard soft calendar first_use sliding ignore create deny admin app reader tenant utilization usage_limit entity_id used remaining name grant error open approved GRANT REVOKE m t), 'not a word');
my @ROLES = qw(fuzz_victim fuzz_victim fuzz_victim nobody pg_monitor public);
my @SOURCES = ('public.gov_entities r where r.owner_id = $1', 'pg_class r', 'public.gov_capabilities r where $1 is not null', ') r; select 1', '');

# What only the database can tell: by the words of its functions, the keys of JSON documents, and what form each has.
my %learned;

sub fuzz_learn { %learned = @_; return; }

# ---------------------------------------------------------------- text

# Bytes as a literal of one line.
sub fuzz_text_literal
{
	my ($text) = @_;

	return 'null' unless defined $text;
	return "'" . $text =~ s/'/''/gr . "'" if $text !~ /[^ -~]/ && $text !~ /\\/;
	return "E'" . $text =~ s/([\\'])/\\$1/gr =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger . "'";
}

my @PIECES = ('a', 'B', '0', ' ', '.', '-', '_', '%', '%s%n', '\\', '"', "'", '$$', '{', '}', ',', ':', '::', ';', '--', '/*', '*/', '(', ')', 'null', 'NULL', '$1', '{}', '[]', "\x01", "\t", "\n", "\r", "\x7f",
	"\xc3\xa9", "e\xcc\x81", "\xe6\xbc\xa2", "\xf0\x9f\x92\xb8", "\xe2\x80\xae", "\xef\xbf\xbf", "\xc2\x85", "\xe2\x80\xa8", "\xef\xbb\xbf", "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf");
my @BROKEN = ("\xff", "\xc0\x80", "\xed\xa0\x80", "\xc3", "\xf0\x9f", "\x80");

sub odd_bytes
{
	my @pieces = $learned{any_bytes} && fuzz_chance(0.3) ? (@PIECES, @BROKEN) : @PIECES;

	return join '', map { fuzz_one_of(@pieces) } 1 .. fuzz_one_of(0, 1, 2, 3, 5, 8, 20);
}

sub odd_text
{
	return fuzz_text_literal(odd_bytes()) if fuzz_chance(0.7);
	return 'repeat(' . fuzz_text_literal(fuzz_one_of(@PIECES)) . ', ' . fuzz_one_of(63, 64, 127, 254, 255, 256, 257, 1000, 2600, 8191, 100000) . ')';
}

# Likely values of an argument or a key, by its name.
sub likely_words
{
	my ($name) = @_;

	return @OWNERS if $name =~ /^owner(_?id)?$/i;
	return @CAPABILITIES if $name =~ /^(capability|feature|currency)(_?ids?)?$/i;
	return @TYPES if $name =~ /type/i && $name !~ /^type$/;
	return @TYPES, @CAPABILITIES, @ENTITIES if $name eq 'id' || $name eq 'ids';
	return @ENTITIES if $name =~ /entit|parent|under|^ids?$|scope|replacement|old_id|new_id|members?_ids/i;
	return @CADENCES if $name =~ /cadence/;
	return @TIMEZONES if $name =~ /zone/;
	return map { "key-$_" } 1 .. 30 if $name =~ /idempotency/i;
	return 'ref-1' .. 'ref-9' if $name eq 'reference';
	return '', '', 'extra', 'pool', 'Acme Inc.' if $name eq 'name' || $name =~ /display/i;
	return @DIMENSION_KEYS if $name =~ /keys?$|group_by/i;
	return qw(input output cached free) if $name eq 'quantity';
	return @TIMES if $name =~ /(_?at|from|until|to)$/i;
	return @ROLES if $name eq 'role';
	return @SOURCES if $name eq 'source';
	return qw(entities capabilities assignments types) if $name eq 'list';
	return 'r.id', 'r.owner_id', '1', 'to_jsonb(r)' if $name eq 'document';
	return @WORDS;
}

sub text_value
{
	my ($name) = @_;

	return odd_text() if fuzz_chance(0.12);
	return 'null' if fuzz_chance(0.05);
	return fuzz_text_literal(fuzz_one_of(@WORDS, @ENTITIES, @CADENCES, @TIMES)) if fuzz_chance(0.05);
	return 'fuzz.cursor(' . fuzz_text_literal(fuzz_one_of(@OWNERS)) . ', ' . fuzz_int(6) . ')' if $name =~ /^(after|before|cursor)$/ && fuzz_chance(0.3);
	return 'null' if $name =~ /^(after|before)$/ && fuzz_chance(0.7);
	return fuzz_text_literal((likely_words($name))[0]) if $name =~ /owner/ && fuzz_chance(0.7);
	return fuzz_text_literal(fuzz_one_of(likely_words($name)));
}

# ---------------------------------------------------------------- JSON, as text

sub json_string { return '"' . $_[0] =~ s/(["\\])/\\$1/gr =~ s/([\x00-\x1f\x7f])/sprintf '\\u%04x', ord $1/ger . '"'; }

sub json_number { return fuzz_one_of(0, 1, 1, 2, 5, 10, 100, 7.5, -1, '1e18', '1e-9', '1e400', '-1e400', '1' . '0' x 200, '0.' . '1' x 50, '1e131071', '-0', '1E+2', 9007199254740993); }

sub odd_json
{
	my ($depth) = @_;
	my $kind = fuzz_int($depth > 3 ? 6 : 9);

	return fuzz_one_of('null', 'true', 'false', '""', '{}', '[]') if $kind == 0;
	return json_number() if $kind <= 2;
	return json_string(odd_bytes() =~ s/[\x80-\xff]+//gr) if $kind == 3;
	return json_string(fuzz_one_of(@ENTITIES, @CAPABILITIES, @WORDS)) if $kind == 4;
	return fuzz_one_of('"\u00e9"', '"\ud83d\ude00"', '"\u0001"', '"\uffff"', '"' . 'x' x 300 . '"') if $kind == 5;
	return '[' . join(',', map { odd_json($depth + 1) } 1 .. fuzz_one_of(0, 1, 2, 5)) . ']' if $kind == 6;
	return '{' . join(',', map { json_string(fuzz_one_of(@DIMENSION_KEYS, (sort keys %{ $learned{forms}{assignments} // {} }), 'x')) . ':' . odd_json($depth + 1) } 1 .. fuzz_one_of(0, 1, 2, 5)) . '}';
}

sub object { my @pairs = @_; my @out; while (my ($k, $v) = splice @pairs, 0, 2) { push @out, json_string($k) . ':' . $v; } return '{' . join(',', @out) . '}'; }
sub list { return '[' . join(',', @_) . ']'; }

# A value of the form that a function's own list of keys asks for.
sub json_of_form
{
	my ($form, $key) = @_;

	return odd_json(1) if fuzz_chance(0.04);
	return 'null' if $form =~ /or null/ && fuzz_chance(0.25);
	return list(map { json_string(fuzz_one_of(likely_words($key))) } 1 .. fuzz_one_of(0, 0, 1, 1, 2, 3)) if $form =~ /array of strings/;
	return list(map { fuzz_one_of(1, 50, 80, 100, 33.3, json_number()) } 1 .. fuzz_one_of(0, 1, 2, 3, 11)) if $form =~ /array of numbers/;
	return dimensions() if $form =~ /object/;
	return fuzz_one_of('true', 'false', 'false') if $form =~ /true or false/;
	return fuzz_one_of(1, 1000, 1000000, json_number()) if $form =~ /whole/;
	return fuzz_one_of(1, 10, 100, 1000, 1000000, json_number()) if $form =~ /number/;
	return json_string(fuzz_one_of(likely_words($key)));
}

sub dimensions
{
	my @keys = map { fuzz_one_of(@DIMENSION_KEYS) } 1 .. fuzz_one_of(0, 1, 1, 2, 3);

	return object(map { ($_ => fuzz_chance(0.05) ? odd_json(2) : json_string(fuzz_chance(0.08) ? 'guest-' . fuzz_int(40) : fuzz_one_of(@ENTITIES))) } @keys);
}

sub quantities { return object(map { ($_ => fuzz_one_of(0, 1, 100, 900, json_number())) } map { fuzz_one_of(qw(input output cached free), fuzz_chance(0.05) ? 'odd' : ()) } 1 .. fuzz_one_of(1, 1, 2, 3)); }

sub amounts { return object(map { ($_ => $_ eq 'dollars' && fuzz_chance(0.7) ? quantities() : fuzz_one_of(0, 1, 1, 2, json_number())) } map { fuzz_one_of(@CAPABILITIES, fuzz_chance(0.05) ? 'odd' : ()) } 1 .. fuzz_one_of(1, 1, 2, 3)); }

sub item_of_batch
{
	my ($name) = @_;

	return object(reservationId => '"HOLD-' . fuzz_int(30) . '"', fuzz_chance(0.6) ? (amount => json_number()) : ()) if $name eq 'settlements';
	return object($name eq 'events' && fuzz_chance(0.5) ? () : (ownerId => json_string(fuzz_one_of(@OWNERS, 'acme', 'acme'))),
		capabilityId => json_string(fuzz_one_of(@CAPABILITIES, 'tokens')),
		fuzz_chance(0.7) ? (amount => fuzz_one_of(1, 1, json_number())) : (),
		fuzz_chance(0.5) ? (dimensions => dimensions()) : (),
		fuzz_chance(0.8) ? (entityIds => list(map { json_string(fuzz_one_of(@ENTITIES)) } 1 .. fuzz_one_of(0, 1, 1, 2))) : (),
		fuzz_chance(0.3) ? (idempotencyKey => '"key-' . fuzz_int(30) . '"') : (),
		fuzz_chance(0.1) ? (occurredAt => json_string(fuzz_one_of(@TIMES))) : (),
		fuzz_chance(0.04) ? (fuzz_one_of('x', 'OwnerId', 'amounts') => odd_json(1)) : ());
}

# The documents of an upsert: what its forms have, not all of it.
sub item_of_upsert
{
	my ($forms) = @_;
	my @keys = grep { fuzz_chance(/Id$|^id$|usageLimit|cadence|price|quantity/ && !/feature|currency|entityType|scope/i ? 0.85 : 0.2) } sort keys %$forms;

	return object((map { ($_ => json_of_form($forms->{$_}, $_)) } @keys), fuzz_chance(0.03) ? (odd => odd_json(1)) : ());
}

# Somewhere in it a byte, a part or an end is another.
sub mutated
{
	my ($json) = @_;
	my $at = fuzz_int(1 + length $json);

	return $json =~ s/("[^"]*"|\d+)(?=[,}\]])/fuzz_chance(0.3) ? odd_json(1) : $1/ger if fuzz_chance(0.5);
	return '[' . $json . ',' . $json . ']' if fuzz_chance(0.2);
	return $json =~ s/\}$/,"nested":$json}/r if fuzz_chance(0.3);
	return $json =~ s/^\[(.*)\]$/'[' . join(',', ($1) x 30) . ']'/ser if fuzz_chance(0.3);
	return object('' => $json) if fuzz_chance(0.2);
	return substr($json, 0, $at) . substr($json, $at + 1);
}

sub jsonb_value
{
	my ($name) = @_;
	my $forms = $learned{forms}{$name};
	my $json;

	return 'null' if fuzz_chance($name eq 'dimensions' ? 0.4 : 0.05);
	return "(repeat('[', $_) || repeat(']', $_))::jsonb" foreach fuzz_chance(0.004) ? fuzz_one_of(100, 2000, 20000) : ();
	return "(select jsonb_object_agg('k' || i, i) from generate_series(1, $_) i)" foreach fuzz_chance(0.006) ? fuzz_one_of(17, 33, 1001, 10001) : ();
	return "(select jsonb_agg(i) from generate_series(1, $_) i)" foreach fuzz_chance(0.006) ? fuzz_one_of(101, 1001, 10001) : ();
	if (fuzz_chance(0.08)) { $json = odd_json(0); }
	elsif ($name eq 'amounts') { $json = amounts(); }
	elsif ($name eq 'quantities') { $json = quantities(); }
	elsif ($name =~ /^(events|requests|settlements)$/) { $json = list(map { item_of_batch($name) } 1 .. fuzz_one_of(1, 1, 2, 5, 20)); }
	elsif (defined $forms || $name =~ /payload|item|proposed/)
	{
		$forms //= $learned{forms}{ fuzz_one_of(sort keys %{ $learned{forms} }) };
		$json = list(map { item_of_upsert($forms) } 1 .. fuzz_one_of(1, 1, 2, 3));
		$json = object($name => $json) if fuzz_chance(0.3);
		$json =~ s/^\[|\]$//g if $name eq 'item' && fuzz_chance(0.8);
	}
	else { $json = dimensions(); }
	$json = mutated($json) if fuzz_chance(0.08);
	# an id of a hold stands in the text by its place
	my $literal = fuzz_text_literal($json);
	return "replace($literal, 'HOLD-$1', coalesce(fuzz.hold($1)::text, '$1'))::jsonb" if $literal =~ /HOLD-(\d+)/;
	return "$literal\::jsonb";
}

# ---------------------------------------------------------------- the other types

sub time_value
{
	return "now() + interval '" . fuzz_int(100) . ' ' . fuzz_one_of('seconds', 'minutes', 'days', 'months') . "'" if fuzz_chance(0.4);
	return "now() - interval '" . fuzz_int(100) . ' ' . fuzz_one_of('seconds', 'minutes', 'days', 'months') . "'" if fuzz_chance(0.4);
	return 'null' if fuzz_chance(0.15);
	return fuzz_text_literal(fuzz_one_of(@TIMES));
}

sub uuid_value
{
	my ($name) = @_;

	return 'fuzz.hold(' . fuzz_int(40) . ')' if $name =~ /reservation/ && fuzz_chance(0.8);
	return 'fuzz.' . fuzz_one_of(qw(budget grant_of request hold)) . '(' . fuzz_int(20) . ')' if fuzz_chance(0.8);
	return fuzz_one_of('null', "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-8fff-ffff-ffffffffffff'", "'00000000-0000-8000-8000-000000000001'");
}

sub row_value
{
	my ($type) = @_;
	my ($kind) = $type =~ /gov_(\w+)/;
	my %wrapper = (entity_types => 'types', default_assignments => 'defaults');
	my $forms = $learned{forms}{ $wrapper{$kind} // $kind } // {};
	my %row = map { (s/([A-Z])/_\l$1/gr => json_of_form($forms->{$_}, $_)) } grep { fuzz_chance(0.5) } sort keys %$forms;

	return "null::public.$type" if fuzz_chance(0.05);
	return "(select r from public.$type r order by 1 offset " . fuzz_int(12) . ' limit 1)' if fuzz_chance(0.6);
	return "jsonb_populate_record(null::public.$type, " . fuzz_text_literal(object(map { ($_ => $row{$_}) } sort keys %row)) . ')';
}

sub array_value
{
	my ($element, $name) = @_;
	my @values = map { scalar_value($element, $name) =~ s/(.*)/($1)/sr } 1 .. fuzz_one_of(0, 1, 1, 1, 2, 3);
	my $sum = 'array[' . join(',', @values) . "]::$element\[]";

	return 'null' if fuzz_chance($name eq 'entity_ids' ? 0.15 : 0.05);
	return "array[array[$values[0]]]::$element\[]" if @values && fuzz_chance(0.03);
	return "'[5:6]={1,2}'::$element\[]" if $element =~ /^(text|numeric|integer|bigint)$/ && fuzz_chance(0.02);
	return "array_append(array_fill($values[0]::$element, array[" . fuzz_one_of(17, 65, 257, 1001, 10001) . "]), $values[0]::$element)" if @values && fuzz_chance(0.02);
	return "($sum || null::$element)" if fuzz_chance(0.02);
	return $sum;
}

sub scalar_value
{
	my ($type, $name) = @_;

	return text_value($name) if $type =~ /^(text|name|unknown)$/;
	return jsonb_value($name) if $type eq 'jsonb';
	return uuid_value($name) if $type eq 'uuid';
	return row_value($type) if $type =~ /^gov_/;
	return time_value() if $type =~ /^timestamp/;
	return 'null' if fuzz_chance(0.05);
	return fuzz_text_literal(fuzz_one_of(@NUMERICS, 1, 1, 1, 2, 3, 5, 10)) if $type eq 'numeric';
	return fuzz_text_literal(fuzz_one_of(@INTS, $name eq 'page_size' ? (20) x 20 : ())) if $type eq 'integer';
	return 'fuzz.event(' . fuzz_int(60) . ')' if $type eq 'bigint' && $name =~ /event/ && fuzz_chance(0.8);
	return fuzz_text_literal(fuzz_one_of(@BIGINTS)) if $type eq 'bigint';
	return fuzz_one_of('true', 'false') if $type eq 'boolean';
	return fuzz_text_literal(fuzz_one_of(@INTERVALS, '1 hour', '1 day')) if $type eq 'interval';
	return fuzz_text_literal(fuzz_one_of('public.gov_entities', 'public.gov_assignments', 'pg_class', 'public.gov_events', '0')) if $type eq 'regclass';
	return 'null' if $type eq 'internal';
	return 'fuzz.nonsense';
}

# A value of a type, for an argument or column of that name.
sub fuzz_value
{
	my ($type, $name) = @_;

	$type = fuzz_one_of('public.gov_assignments[]', 'public.gov_prices[]', 'integer[]') if $type eq 'anyarray';
	return array_value($1, $name) if $type =~ /^(.*)\[\]$/;
	my $value = scalar_value($type, $name);

	return $type eq 'internal' ? $value : $value =~ / / && $value !~ /^E?'/ ? "($value)\::$type" : "$value\::$type";
}

# ---------------------------------------------------------------- a database with everything in it

# SQL that makes it, or makes it whole again: three customers with the same organisation.
sub fuzz_data { return join "\n", map { 'call fuzz.customer(' . fuzz_text_literal($_) . ');' } @OWNERS; }

1;
