# Windows that people sell, carrying over, pools and defaults, all on the same calls: random histories with a stopped clock, judged by an
# oracle that knows the rules and the ledger's amounts and times, and nothing of what the engine has stored.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../perl";

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use GovTest;

my $seed = $ENV{SOLD_SEED} // int(rand(1e9));
note "SOLD_SEED=$seed";
srand($seed);

my $node = gov_node('sold', conf => "timezone = 'UTC'\nfsync = off");

if ($node->psql('postgres', 'show governance.fault_clock') != 0)
{
	plan skip_all => 'built without -DGOV_FAULTS';
}

$node->safe_psql('postgres', q{
	insert into gov_entity_types (id, attribution_keys) values ('org', '{}'), ('team', '{}'), ('user', '{userId}');
	insert into gov_capabilities (id) values ('tokens'), ('requests');

	create schema o;

	-- What the test has done to the catalog.
	create sequence o.n;
	create table o.born (id uuid primary key, after_id bigint, at timestamptz, n bigint default nextval('o.n'));
	create table o.limits (id uuid, at timestamptz, most numeric, n serial);
	create table o.granted (id uuid primary key, after_id bigint, at timestamptz, voided timestamptz, void_after bigint);
	create table o.fact (last_id bigint, at timestamptz);
	insert into o.fact values (0, '-infinity');
	create table o.held (id uuid, entity text, amount numeric, ends timestamptz, n bigint default nextval('o.n'));

	create function o.now() returns timestamptz language sql as
	$$ select timestamptz '2000-01-01 00:00Z' + current_setting('o.clock')::bigint * interval '1 microsecond' $$;

	create function o.last_id() returns bigint language sql as 'select case when is_called then last_value else 0 end from gov_events_id_seq';

	-- The ledger, with what others have in flight.
	create function o.events() returns setof gov_events language sql as $$
		select * from gov_events where owner_id = 'w'
		union all
		select (jsonb_populate_record(null::gov_events, x)).* from jsonb_array_elements(coalesce(nullif(current_setting('o.extra', true), ''), '[]')::jsonb) x
	$$;

	-- Budgets: by assignments and by defaults.
	create view o.budgets as
	select a.id, a.entity_id, a.name, a.usage_limit, a.cadence::interval as cadence, a.window_kind, a.is_pool, a.carry_unused_max, a.carry_debt,
		a.enforcement, a.debt_limit, b.after_id, b.at, b.n
	from gov_assignments a join o.born b on b.id = a.id
	where a.owner_id = 'w' and a.capability_id = 'tokens'
	union all
	select d.id, e.id, d.name, d.usage_limit, d.cadence::interval, d.window_kind, false, d.carry_unused_max, d.carry_debt, d.enforcement, 0, b.after_id, greatest(b.at, e.created_at), b.n
	from gov_default_assignments d join o.born b on b.id = d.id join gov_entities e on e.owner_id = 'w' and e.type_id = d.type_id;

	create function o.start(cadence interval, at timestamptz) returns timestamptz language sql immutable as $$
		select timestamptz '2001-01-01 00:00Z' + floor(extract(epoch from at - timestamptz '2001-01-01 00:00Z') / extract(epoch from cadence)) * cadence
	$$;

	create function o.charged(b o.budgets) returns setof gov_events language sql as $$
		select e.* from o.events() e
		where e.capability_id = 'tokens' and b.entity_id = any (e.entity_ids) and e.id > b.after_id and (e.reverses is null or e.reverses > b.after_id)
	$$;

	create function o.limit_before(id uuid, until timestamptz) returns numeric language sql as $$
		select most from o.limits l where l.id = limit_before.id and l.at < until order by l.at desc, l.n desc limit 1
	$$;

	create function o.carried(b o.budgets, until timestamptz) returns numeric language plpgsql as $$
	declare
		w timestamptz := o.start(b.cadence, b.at);
		carried numeric := 0;
		most numeric;
		used numeric;
		sums jsonb;
	begin
		if b.carry_unused_max is null and not b.carry_debt then return null; end if;
		select jsonb_object_agg(x.w, x.s) into sums from (select extract(epoch from o.start(b.cadence, occurred_at))::bigint as w, sum(amount) as s from o.charged(b) group by 1) x;
		while w + b.cadence <= until loop
			most := coalesce(o.limit_before(b.id, w + b.cadence), b.usage_limit);
			used := coalesce((sums ->> extract(epoch from w)::bigint::text)::numeric, 0);
			if used > most + carried then
				carried := case when b.carry_debt then most + carried - used else 0 end;
			elsif b.carry_unused_max is null then
				carried := 0;
			else
				carried := greatest(0, least(b.carry_unused_max, most, most + least(carried, 0) - greatest(0, used - greatest(carried, 0))));
			end if;
			w := w + b.cadence;
		end loop;
		return carried;
	end $$;

	-- Windows from a first use: that which holds a time, and its use.
	create function o.opened(b o.budgets, at timestamptz, out starts timestamptz, out ends timestamptz, out used numeric) language plpgsql as $$
	declare
		e gov_events;
		s timestamptz[] := '{}';
		t timestamptz[] := '{}';
		u numeric[] := '{}';
		i int;
	begin
		for e in select * from o.charged(b) order by id loop
			select x.i into i from unnest(s, t) with ordinality as x (s, t, i) where e.occurred_at >= x.s and e.occurred_at < x.t;
			if i is null and e.amount > 0 then
				s := s || e.occurred_at;
				t := t || least(e.occurred_at + b.cadence, (select min(x) from unnest(s) x where x > e.occurred_at));
				u := u || e.amount;
			elsif i is not null then
				u[i] := u[i] + e.amount;
			end if;
		end loop;
		select x.s, x.t, x.u into starts, ends, used from unnest(s, t, u) as x (s, t, u) where at >= x.s and at < x.t;
		used := coalesce(used, 0);
	end $$;

	create function o.grain(b o.budgets, at timestamptz) returns bigint language sql as $$
		select floor(extract(epoch from at - timestamptz '2000-01-01 00:00Z') * 64 / extract(epoch from b.cadence))::bigint
	$$;

	create function o.slid(b o.budgets) returns numeric language plpgsql as $$
	declare
		e gov_events;
		g bigint[] := '{}';
		a numeric[] := '{}';
		place bigint;
	begin
		for e in select * from o.charged(b) order by id loop
			place := o.grain(b, e.occurred_at);
			if e.amount < 0 and e.reverses is null and e.occurred_at = e.recorded_at then
				place := coalesce((select max(x.g) from (select y.g, sum(sum(y.a)) over (order by y.g desc) as later from unnest(g, a) as y (g, a)
					where y.g between place - 64 and place group by y.g) x where x.later >= -e.amount), (select min(y.g) from unnest(g, a) as y (g, a) where y.g between place - 64 and place), place);
			end if;
			g := g || place;
			a := a || e.amount;
		end loop;
		return coalesce((select sum(x.a) from unnest(g, a) as x (g, a) where x.g between o.grain(b, o.now()) - 64 and o.grain(b, o.now())), 0);
	end $$;

	-- A pool: what each grant has left, and what is owed.
	create function o.pool(b o.budgets, out granted numeric, out owed numeric, out has_left numeric, out grants jsonb) language plpgsql as $$
	declare
		x record;
		gr record;
		lefts jsonb := '{}';
		drawn jsonb := '{}';
		need numeric;
		part numeric;
		mine jsonb;
		f o.fact;
		paid numeric;
		credit numeric;
	begin
		-- Up to the last rollback of one of several: what the events say that they have drawn.
		select * into f from o.fact;
		select coalesce(sum(d.amount), 0) into owed from gov_event_draws d where d.assignment_id = b.id and d.grant_id is null and d.event_id <= f.last_id;
		select coalesce(jsonb_object_agg(g.id, g.amount - coalesce((select sum(d.amount) from gov_event_draws d where d.grant_id = g.id and d.event_id <= f.last_id), 0)), '{}') into lefts
		from gov_grants g join o.granted n on n.id = g.id where g.assignment_id = b.id and greatest(g.effective_at, n.at) <= f.at and n.after_id < f.last_id;
		for x in
			select e.recorded_at as at, 1 as what, e.id, null::uuid as grant_id, e.amount, e.reverses from o.charged(b) e where e.id > f.last_id
			union all
			select greatest(g.effective_at, n.at), 0, n.after_id, g.id, g.amount, null from gov_grants g join o.granted n on n.id = g.id
			where g.assignment_id = b.id and not lefts ? g.id::text and greatest(g.effective_at, n.at) <= o.now() and (n.voided is null or n.voided > greatest(g.effective_at, n.at) or n.void_after >= n.after_id and n.voided >= greatest(g.effective_at, n.at))
			order by 1, 3, 2 desc
		loop
			if x.what = 0 then
				if (select g.expires_at <= x.at from gov_grants g where g.id = x.grant_id) then
					lefts := lefts || jsonb_build_object(x.grant_id, x.amount);
					continue;
				end if;
				part := greatest(0, least(owed, x.amount));
				owed := owed - part;
				lefts := lefts || jsonb_build_object(x.grant_id, x.amount - part);
				continue;
			end if;
			if x.amount >= 0 then
				need := x.amount;
				credit := 0;
				mine := '[]';
				if owed < 0 then
					part := least(need, -owed);
					owed := owed + part;
					need := need - part;
					credit := part;
				end if;
				for gr in select g.* from gov_grants g join o.granted n on n.id = g.id
					where lefts ? g.id::text and (g.expires_at is null or g.expires_at > x.at) and (n.voided is null or n.voided > x.at or n.voided = x.at and n.void_after >= x.id)
					order by g.priority, g.expires_at nulls last, g.effective_at, g.id
				loop
					part := least(need, (lefts ->> gr.id::text)::numeric);
					if part > 0 then
						lefts := lefts || jsonb_build_object(gr.id, (lefts ->> gr.id::text)::numeric - part);
						mine := jsonb_build_array(jsonb_build_array(gr.id, part)) || mine;
						need := need - part;
					end if;
				end loop;
				owed := owed + need;
				mine := jsonb_build_array(jsonb_build_array(null, credit + need)) || mine;
				drawn := drawn || jsonb_build_object(x.id, mine);
			elsif x.reverses is null then
				owed := owed + x.amount;
			else
				-- The last that it has drawn first: of a grant that lives, to what is owed and else to the grant.
				need := -x.amount;
				mine := '[]';
				for gr in select (m ->> 0)::uuid as id, (m ->> 1)::numeric as amount from jsonb_array_elements(drawn -> x.reverses::text) m loop
					part := least(need, gr.amount);
					need := need - part;
					mine := mine || jsonb_build_array(jsonb_build_array(gr.id, gr.amount - part));
					if gr.id is null then
						owed := owed - part;
					elsif not lefts ? gr.id::text then
						continue;
					elsif exists (select from gov_grants g join o.granted n on n.id = g.id where g.id = gr.id and (g.expires_at is null or g.expires_at > x.at) and (n.voided is null or n.voided > x.at or n.voided = x.at and n.void_after >= x.id)) then
						paid := greatest(0, least(part, owed));
						owed := owed - paid;
						lefts := lefts || jsonb_build_object(gr.id, (lefts ->> gr.id::text)::numeric + part - paid);
					else
						-- It is no longer drawn, and forfeited.
						lefts := lefts || jsonb_build_object(gr.id, (lefts ->> gr.id::text)::numeric + part);
					end if;
				end loop;
				drawn := drawn || jsonb_build_object(x.reverses, mine);
			end if;
		end loop;
		select coalesce(sum(g.amount), 0), coalesce(sum((lefts ->> g.id::text)::numeric), 0) into granted, has_left
		from gov_grants g join o.granted n on n.id = g.id
		where lefts ? g.id::text and (g.expires_at is null or g.expires_at > o.now()) and n.voided is null;
		grants := lefts;
	end $$;

	create function o.holding(entity text, since bigint) returns numeric language sql as $$
		select coalesce(sum(h.amount), 0) from o.held h
		where h.ends > o.now() and h.n > since and (h.entity = holding.entity or holding.entity = 'org' or holding.entity = 'team' and h.entity in ('u1', 'u2'))
	$$;

	create function o.state() returns table (entity text, name text, most numeric, used numeric, held numeric, carried numeric, is_hard boolean) language plpgsql as $$
	declare
		b o.budgets;
		p record;
	begin
		for b in select * from o.budgets loop
			entity := b.entity_id;
			name := b.name;
			held := o.holding(b.entity_id, b.n);
			carried := null;
			most := b.usage_limit;
			is_hard := b.enforcement = 'hard';
			if b.is_pool then
				p := o.pool(b);
				most := p.granted;
				used := p.granted - p.has_left + p.owed;
			elsif b.window_kind = 'sliding' then
				used := o.slid(b);
			elsif b.window_kind = 'first_use' then
				used := (o.opened(b, o.now())).used;
			else
				carried := o.carried(b, o.now());
				most := greatest(0, b.usage_limit + coalesce(carried, 0));
				used := coalesce((select sum(e.amount) from o.charged(b) e where b.cadence is null or o.start(b.cadence, e.occurred_at) = o.start(b.cadence, o.now())), 0);
			end if;
			return next;
		end loop;
	end $$;

	create function o.say(entity text, name text, most numeric, used numeric, held numeric, carried numeric) returns text language sql as $$
		select format('%s/%s %s+%s of %s c%s', entity, name, trim_scale(used), trim_scale(held), trim_scale(most), trim_scale(carried))
	$$;

	create function o.differences() returns setof text language sql as $$
		with x as (select o.say(entity, name, most, used, held, carried) as s from o.state()),
		h as (select distinct o.say(entity_id, name, usage_limit, current_usage, reserved_usage, carried) as s
			from (select * from gov_headroom('w', 'tokens', 0, null, '{u1}') union select * from gov_headroom('w', 'tokens', 0, null, '{u2}')) y),
		q as (select o.say(r ->> 'entityId', r ->> 'name', (r ->> 'usageLimit')::numeric, (r ->> 'currentUsage')::numeric, (r ->> 'reservedUsage')::numeric, (r ->> 'carried')::numeric) as s
			from jsonb_array_elements(gov_query('w', '{tokens}', page_size => 100) -> 'data') r where r ->> 'capabilityId' is not null and r ->> 'cadence' is not null or (r ->> 'usageLimit') is not null),
		t as (select o.say(entity_id, name, usage_limit, current_usage, reserved_usage, carried) as s from gov_tree('w', '{tokens}') where capability_id is not null and name is not null),
		b as (select o.say(entity_id, name, usage_limit, current_usage, reserved_usage, carried) as s from gov_budgets where owner_id = 'w' and capability_id = 'tokens'),
		c as (select distinct o.say(n ->> 'entityId', n ->> 'name', (n ->> 'usageLimit')::numeric, (n ->> 'currentUsage')::numeric, (n ->> 'reservedUsage')::numeric, (n ->> 'carried')::numeric) as s
			from gov_check('w', 'tokens', 0, null, '{u1,u2}') k, jsonb_array_elements(k.chains) l, jsonb_array_elements(l) n)
		select 'oracle ' || s from (select s from x except select s from h) z union all
		select 'headroom ' || s from (select s from h except select s from x) z union all
		select 'query ' || s from (select s from q except select s from x) z union all
		select 'query lacks ' || s from (select s from x except select s from q) z union all
		select 'tree ' || s from (select s from t except select s from x) z union all
		select 'tree lacks ' || s from (select s from x except select s from t) z union all
		select 'budgets ' || s from (select s from b except select s from x) z union all
		select 'chains ' || s from (select s from c except select s from x) z union all
		select 'chains lack ' || s from (select s from x except select s from c) z
	$$;

	-- Does a call for an entity fit?
	create function o.fits(entity text, amount numeric) returns boolean language sql as $$
		select coalesce(bool_and(not is_hard or used + held + amount <= most + coalesce((select debt_limit from o.budgets b where b.is_pool and b.entity_id = s.entity and b.name = s.name), 0)), true)
		from o.state() s where s.entity in (fits.entity, 'team', 'org')
	$$;

	create function o.pools() returns setof text language sql as $$
		select format('%s drawn %s remaining+held %s, oracle %s', g.id, trim_scale(v.drawn), trim_scale(v.remaining + v.held), x.l)
		from o.budgets b
		cross join lateral o.pool(b) p
		join gov_grants g on g.assignment_id = b.id
		join o.granted n on n.id = g.id
		join gov_grant_balances v on v.grant_id = g.id
		cross join lateral (select coalesce((p.grants ->> g.id::text)::numeric, g.amount) as l) x
		where b.is_pool and (v.drawn <> g.amount - x.l
			or case when (g.expires_at is null or g.expires_at > o.now()) and n.voided is null then v.remaining + v.held <> x.l else v.expired <> x.l end)
	$$;
});

my $now = 1141000000 * 1000000;
my @s = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 3;

sub pick { return $_[ int(rand(@_)) ]; }
sub ask { my ($i, $sql) = @_; return gov_ask($s[$i], $sql); }
# Holds are expired by the worker, whose clock is not stopped: who ends one whose time has passed expires it.
sub clock
{
	gov_ask($_, "set governance.fault_clock = $now; set o.clock = $now") foreach @s;
	return;
}
sub expire { return ask($_[0], 'with h as (delete from o.held where ends <= o.now() returning id) select gov_release(id) from h'); }

my @log;
sub did { push @log, join(' ', @_); return; }

# a budget made anew, in this transaction
my %BUDGET = (
	'u1 slide' => q{60, 'PT1H', 'sliding', null::numeric, false}, 'u2 slide' => q{60, 'PT30M', 'sliding', null::numeric, false},
	'u1 carry' => q{50, 'PT1H', 'calendar', 30, true}, 'u2 carry' => q{40, 'PT1H', 'calendar', 40, false},
	'u1 first' => q{70, 'PT1H', 'first_use', null::numeric, false}, 'u2 first' => q{60, 'PT5H', 'first_use', null::numeric, false},
	'team slide' => q{90, 'PT2H', 'sliding', null::numeric, false}, 'team carry' => q{150, 'P1D', 'calendar', 100, true},
	'team debt' => q{120, 'PT6H', 'calendar', null::numeric, true}, 'org cal' => q{400, 'P1D', 'calendar', null::numeric, false});

sub make
{
	my ($i, $key) = @_;
	my ($entity, $name) = split ' ', $key;
	return ask($i, qq{with a as (insert into gov_assignments (owner_id, entity_id, capability_id, name, usage_limit, cadence, window_kind, carry_unused_max, carry_debt, created_at)
		select 'w', '$entity', 'tokens', '$name', v.*, o.now() from (values ($BUDGET{$key})) v returning id, usage_limit),
		b as (insert into o.born select id, o.last_id(), o.now() from a)
		insert into o.limits (id, at, most) select id, o.now(), usage_limit from a});
}

sub grant_credits
{
	my ($i) = @_;
	my $amount = pick(5, 50, 100.5, 300, 500);
	my $from = pick('null', 'null', "o.now() + interval '" . pick(10, 60, 200) . " minutes'");
	my $until = pick('null', "o.now() + interval '" . pick(300, 1000, 3000) . " minutes'", "o.now() + interval '240 minutes'");
	my $priority = pick(100, 100, 1);
	return "grant $amount $priority $from $until " . ask($i, qq{with g as (select gov_grant_credits('w', 'org', 'tokens', $amount, $until, name => 'pool', priority => $priority, effective_at => coalesce($from, o.now())) as id)
		insert into o.granted select id, o.last_id(), o.now() from g});
}

clock();
ask(0, "insert into gov_entities (owner_id, id, type_id, parent_id, created_at) values ('w', 'org', 'org', null, o.now()), ('w', 'team', 'team', 'org', o.now()), ('w', 'u1', 'user', 'team', o.now()), ('w', 'u2', 'user', 'team', o.now())");
make(0, $_) foreach sort keys %BUDGET;
ask(0, "with a as (insert into gov_assignments (owner_id, entity_id, capability_id, name, is_pool, created_at) values ('w', 'org', 'tokens', 'pool', true, o.now()) returning id) insert into o.born select id, o.last_id(), o.now() from a");
ask(0, "with a as (insert into gov_default_assignments (owner_id, type_id, capability_id, name, usage_limit, cadence, window_kind, carry_unused_max, carry_debt, created_at)
	values ('w', 'user', 'tokens', 'dslide', 70, 'PT1H', 'sliding', null, false, o.now()), ('w', 'user', 'tokens', 'dcarry', 70, 'PT2H', 'calendar', 20, true, o.now()), ('w', 'user', 'tokens', 'dfirst', 80, 'PT1H', 'first_use', null, false, o.now()) returning id, usage_limit),
	b as (insert into o.born select id, o.last_id(), o.now() from a) insert into o.limits (id, at, most) select id, o.now(), usage_limit from a");
did(grant_credits(0)) foreach 1 .. 3;

my %granted = (t => 0, f => 0);
my $bad;

sub wrong
{
	my ($what) = @_;
	return if $bad;
	$bad = 1;
	fail($what);
	diag("SOLD_SEED=$seed now $now");
	diag($_) foreach ($ENV{SOLD_LOG} ? @log : splice(@log, -14));
	return;
}

# what others have in flight, for the oracle of a session
sub extra
{
	my ($i, $open) = @_;
	my @rows;
	foreach my $j (grep { $_ != $i && $open->[$_] } 0 .. $#s)
	{
		my $r = ask($j, "select coalesce(string_agg(to_jsonb(e)::text, ','), '') from gov_events e where owner_id = 'w' and xmin = pg_current_xact_id()::xid");
		push @rows, $r if $r ne '';
	}
	my $json = '[' . join(',', @rows) . ']';
	ask($i, "select 1 from set_config('o.extra', \$x\$$json\$x\$, false)");
	return;
}

sub consume
{
	my ($i, $u) = @_;
	my $amount = pick(0, 1, 5, 10, 17.5, 30, 45);
	my $fits = ask($i, "select o.fits('$u', $amount)");
	my $got = ask($i, "select is_granted, retry_at, event_id from gov_consume('w', 'tokens', $amount, null, '{$u}')");
	my ($is, $retry) = split /\|/, $got;
	did("$i consume $u $amount fits $fits got $got");
	$granted{$is}++ if defined $is && exists $granted{$is};
	wrong("consume $u $amount: fits $fits, got $got") if !defined $is || $is ne $fits;
	return;
}

sub act
{
	my ($i, $is_alone) = @_;
	my $u = pick('u1', 'u2');
	my $what = int(rand($is_alone ? 14 : 6));
	if ($what < 4) { consume($i, $u); }
	elsif ($what == 4)
	{
		my $amount = pick(1, 3, 10);
		# Beside an opener in flight a late event gets a window that ends with a start which may never have been.
		my $at = !$is_alone ? pick('null', "o.now() + interval '2 minutes'") : pick('null', "o.now() - interval '" . pick(10, 50, 70, 200, 500, 800, 1500) . " minutes'", "o.now() + interval '2 minutes'");
		did("$i ingest $u $amount $at", ask($i, "select gov_ingest('w', 'tokens', $amount, null, '{$u}', occurred_at => $at)"));
	}
	elsif ($what == 5) { consume($i, $u); }
	elsif ($what == 6)
	{
		# more than was used leaves a credit, of which the rules do not say for how long
		return if ask($i, "select bool_and(s.used >= 10) from o.state() s join o.budgets b on b.entity_id = s.entity and b.name = s.name where b.window_kind = 'sliding' and s.entity in ('team', '$u')") ne 't';
		did("$i correct $u", ask($i, "select gov_ingest('w', 'tokens', -2.5, null, '{$u}')"));
	}
	elsif ($what == 7)
	{
		did("$i late correction $u", ask($i, "select gov_ingest('w', 'tokens', -1, null, '{$u}', occurred_at => o.now() - interval '" . pick(30, 65, 200) . " minutes')"));
	}
	elsif ($what == 8 || $what == 9)
	{
		my $part = pick('null', '1');
		did("$i reverse $part", ask($i, "select e.id, e.amount, r.event_id from (select id, amount from gov_events e where owner_id = 'w' and id > (select last_id from o.fact) and amount > 0 and amount > coalesce((select -sum(x.amount) from gov_events x where x.reverses = e.id), 0) + 1 order by id desc limit 1 offset " . int(rand(8)) . ") e, gov_reverse(e.id, $part) r"));
	}
	elsif ($what == 10)
	{
		my $amount = pick(2, 7, 12);
		my $ttl = pick(3, 30, 100);
		my $fits = ask($i, "select o.fits('$u', $amount)");
		my $got = ask($i, "with r as (select * from gov_reserve('w', 'tokens', $amount, null, '{$u}', ttl => '$ttl minutes')), h as (insert into o.held select reservation_id, '$u', $amount, expires_at from r where is_granted) select is_granted from r");
		did("$i reserve $u $amount $ttl: fits $fits got $got");
		wrong("reserve $u $amount: fits $fits, got $got") if $got ne $fits;
	}
	elsif ($what == 11)
	{
		my $h = ask($i, 'select id from o.held order by random() limit 1');
		return if $h eq '';
		if (rand() < 0.3) { did("$i release $h", ask($i, "select gov_release('$h')")); }
		else { did("$i settle $h", ask($i, "select gov_settle('$h', " . pick(0, 1, 5, 20) . ")")); }
		ask($i, "delete from o.held where id = '$h'");
	}
	elsif ($what == 12)
	{
		# the catalog
		my $kind = int(rand(6));
		my $key = pick(sort keys %BUDGET);
		my ($entity, $name) = split ' ', $key;
		my $where = "owner_id = 'w' and entity_id = '$entity' and name = '$name'";
		if ($kind == 0)
		{
			did("$i deleted and made $key", ask($i, "delete from gov_assignments where $where"), make($i, $key));
		}
		elsif ($kind <= 2)
		{
			my $most = pick(30, 60, 100, 200);
			did("$i limit of $key $most", ask($i, "with a as (update gov_assignments set usage_limit = $most where $where returning id) insert into o.limits (id, at, most) select id, o.now(), $most from a"));
		}
		elsif ($kind == 3)
		{
			my $c = pick('PT1H', 'PT2H', 'PT3H');
			did("$i cadence of $key $c", ask($i, "with c as (select id from gov_assignments where $where and cadence <> '$c'), a as (update gov_assignments set cadence = '$c' where id in (select id from c)) update o.born set after_id = o.last_id(), at = o.now() where id in (select id from c)"));
		}
		elsif ($kind == 4) { did($i, grant_credits($i)); }
		else
		{
			my $g = ask($i, "select g.id from gov_grants g where voided_at is null order by random() limit 1");
			return if $g eq '' || rand() < 0.6;
			did("$i void $g", ask($i, "select gov_void_grant('$g')"), ask($i, "update o.granted set voided = o.now(), void_after = o.last_id() where id = '$g'"));
		}
	}
	else { did($i, grant_credits($i)) if rand() < 0.5; }
	wrong("an error") if $log[-1] =~ /ERROR/;
	return;
}

sub agree
{
	my ($i, $label) = @_;
	my $d = ask($i, 'select * from o.differences()');
	wrong("$label: $d") if $d ne '';
	return;
}

my $steps = $ENV{SOLD_STEPS} // 100;
my $n;
for ($n = 1; $n <= $steps && !$bad; $n++)
{
	if (rand() < 0.7)
	{
		# alone, perhaps rolled back, or a part of it
		my $i = int(rand(3));
		my $how = int(rand(4));
		ask($i, "set o.extra = ''");
		ask($i, 'begin') if $how;
		act($i, 1);
		if ($how == 3 && !$bad)
		{
			ask($i, 'savepoint a');
			act($i, 1) foreach 1 .. 2;
			agree($i, 'within') if !$bad;
			ask($i, 'rollback to a');
			clock();
			did('rolled back to savepoint');
			agree($i, 'after rollback to') if !$bad;
		}
		act($i, 1) if $how && !$bad;
		agree($i, 'in transaction') if $how && !$bad;
		my $end = rand() < 0.3 ? 'rollback' : 'commit';
		ask($i, $end) if $how;
		did($end) if $how;
		clock();
	}
	else
	{
		# Where the clock goes on all commit: a window that an opener has begun who is rolled back stays for those who came later.
		my @open = map { rand() < 0.6 } @s;
		foreach (grep { $open[$_] } 0 .. $#s) { ask($_, 'begin'); }
		my $moved = 0;
		foreach my $k (1 .. 5)
		{
			last if $bad;
			my $i = int(rand(3));
			extra($i, \@open);
			act($i, 0);
			if (rand() < 0.15)
			{
				$now += pick(1, 61_000_000, 20 * 60_000_000) if ask($i, 'select count(*) from o.held') eq '0';
				clock();
				did("clock $now");
				$moved = 1;
			}
		}
		foreach (grep { $open[$_] } 0 .. $#s) { my $end = $moved ? 'commit' : pick('commit', 'rollback'); ask($_, $end); did("$_ $end"); }
		ask($_, "set o.extra = ''") foreach 0 .. $#s;
		# what is rolled back leaves a gap in what was drawn, which is a fact
		clock();
		expire(0);
		ask(0, "select gov_ingest('w', 'tokens', 0.5, null, '{u1}')");
		ask(0, 'update o.fact set last_id = o.last_id(), at = o.now()');
	}
	last if $bad;
	agree(0, 'committed');
	last if $bad;
	if (rand() < 0.5)
	{
		$now += pick(1, 1_000_000, 57_000_000, 600_000_000, 1_500_000_000, 3_599_999_999, 3_600_000_000, 20_000_000_000);
		$now = (int($now / 3_600_000_000) + 1) * 3_600_000_000 - pick(0, 1) if rand() < 0.2;
		clock();
		expire(1);
		did("clock $now");
		agree(1, 'clock went on');
	}
	if ($n % 7 == 0 && !$bad)
	{
		ask(0, 'select gov_maintain()') if rand() < 0.5;
		ask(0, 'select gov_refresh()') if rand() < 0.5;
		agree(0, 'cold') if !$bad;
		ask(0, 'set governance.use_cache = off');
		agree(0, 'without cache') if !$bad;
		ask(0, 'reset governance.use_cache');
		my $v = ask(0, 'select * from gov_verify()');
		wrong("gov_verify: $v") if $v ne '';
		my $p = ask(0, 'select * from o.pools()');
		wrong("pools: $p") if $p ne '';
	}
	if ($n % 50 == 0 && !$bad)
	{
		$node->stop('immediate');
		eval { $_->quit } foreach @s;
		$node->start;
		@s = map { $node->background_psql('postgres', on_error_stop => 0) } 1 .. 3;
		clock();
		agree(0, 'after a crash');
	}
}
if ($bad && $ENV{SOLD_LOG})
{
	diag($_, "\n", ask(0, $_)) foreach "select g.id, counter_id, amount, priority, effective_at, expires_at, voided_at, closed_at, n.* from gov_grants g join o.granted n on n.id = g.id", "select * from gov_grant_balances", "select id, amount, entity_ids, counter_ids, draws, recorded_at, occurred_at, reverses from gov_events where draws is not null order by id desc limit 24", "select * from gov_verify()", "select * from o.differences()", "select gov_refresh()", "select * from o.differences()", "set governance.use_cache = off; select * from o.differences()";
}
ok(!$bad, "$steps steps agree with the oracle");
cmp_ok($granted{t}, '>', 0, 'some are granted');
cmp_ok($granted{f}, '>', 0, 'some are denied');
note "granted $granted{t}, denied $granted{f}";
$_->quit foreach @s;
$node->stop;
done_testing();
