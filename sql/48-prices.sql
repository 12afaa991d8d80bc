/* Prices: what quantities cost (src/cache/prices.c) */

create function @extschema@._gov_json(stored @extschema@.gov_prices)
returns jsonb
language sql
stable
return jsonb_build_object(
    'id', stored.id,
    'ownerId', stored.owner_id,
    'capabilityId', stored.capability_id,
    'quantity', stored.quantity,
    'match', stored.match,
    'price', stored.price,
    'per', stored.per,
    'validFrom', @extschema@._gov_exact_json(stored.valid_from),
    'createdAt', @extschema@._gov_json(stored.created_at),
    'updatedAt', @extschema@._gov_json(stored.updated_at));

comment on function @extschema@._gov_json(@extschema@.gov_prices) is 'internal: a price as the catalog functions return it';

create function @extschema@._gov_price_items(payload jsonb, max_items int)
returns table (n int, key text, item jsonb)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    forms constant jsonb := '{
        "capabilityId": "a string",
        "featureId": "a string",
        "currencyId": "a string",
        "quantity": "a string",
        "match": "an object of dimensions",
        "price": "a number",
        "per": "a whole number",
        "validFrom": "a string"}';
begin
    for n, item in select i.n, i.item from @extschema@._gov_items(payload, 'prices', forms, max_items) i loop
        item := item || jsonb_build_object(
            'capabilityId', @extschema@._gov_one_key(item, n, '{capabilityId, featureId, currencyId}'::text[], true),
            'quantity', @extschema@._gov_one_key(item, n, '{quantity}'::text[], true),
            'match', @extschema@._gov_match(coalesce(item -> 'match', '{}')));
        if item ? 'validFrom' then
            item := item || jsonb_build_object('validFrom', @extschema@._gov_time(item, n, 'validFrom'));
        end if;
        key := jsonb_build_array(item -> 'capabilityId', item -> 'quantity', item -> 'match', item -> 'validFrom')::text;
        return next;
    end loop;
end
$$;

comment on function @extschema@._gov_price_items(jsonb, int) is
    'internal: the numbered items of a payload of prices, each with its natural key and with the parts of that in one form (22004, 22023, 54000)';

create function @extschema@._gov_price_of_item(owner text, item jsonb, moment timestamptz)
returns @extschema@.gov_prices
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select x
    from
    (
        -- Two conditions that the index serves, of which one never holds.
        select p
        from @extschema@.gov_prices p
        where p.owner_id = owner
            and p.capability_id = item ->> 'capabilityId'
            and p.quantity = item ->> 'quantity'
            and p.match = item -> 'match'
        union all
        select p
        from @extschema@.gov_prices p
        where owner is null
            and p.owner_id is null
            and p.capability_id = item ->> 'capabilityId'
            and p.quantity = item ->> 'quantity'
            and p.match = item -> 'match'
    ) f (x)
    where case when item ? 'validFrom' then (x).valid_from = (item ->> 'validFrom')::timestamptz else (x).valid_from <= moment end
    order by (x).valid_from desc
    limit 1
$$;

comment on function @extschema@._gov_price_of_item(text, jsonb, timestamptz) is
    'internal: the stored price that an item names, of an owner or of everybody (null); the one in force at that time if it names no validFrom';

create function @extschema@._gov_wanted_prices(owner text, payload jsonb, max_items int, out wanted @extschema@.gov_prices[], out places int[])
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    moment constant timestamptz := @extschema@.gov_now();
    items jsonb := '{}';
    place_of jsonb := '{}';
    row_number int := 0;
    item jsonb;
    n int;
    key text;
    stored @extschema@.gov_prices;
    price @extschema@.gov_prices;
begin
    wanted := '{}';
    places := '{}';
    for n, key, item in select i.n, i.key, i.item from @extschema@._gov_price_items(payload, max_items) i loop
        item := coalesce(items -> key, '{}') || item;
        items := items || jsonb_build_object(key, item);
        stored := @extschema@._gov_price_of_item(owner, item, moment);
        if not item ? 'price' and stored.id is null then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('"price" is missing in item %s, a new price', n),
                hint = 'Give it; 0 is for what costs nothing.';
        end if;

        price := stored;
        price.owner_id := owner;
        price.capability_id := item ->> 'capabilityId';
        price.quantity := item ->> 'quantity';
        price.match := item -> 'match';
        price.price := coalesce(trim_scale((item ->> 'price')::numeric), stored.price);
        price.per := coalesce((item ->> 'per')::bigint, stored.per, 1);
        price.valid_from := coalesce((item ->> 'validFrom')::timestamptz, case when price = stored then stored.valid_from end, moment);
        if not place_of ? key then
            row_number := row_number + 1;
            place_of := place_of || jsonb_build_object(key, row_number);
        end if;
        wanted[(place_of ->> key)::int] := price;
        places := places || (place_of ->> key)::int;
    end loop;
end
$$;

comment on function @extschema@._gov_wanted_prices(text, jsonb, int) is
    'internal: the prices that a payload makes, each once, and for each of its items which of them it is (22004, 22023, 54000)';

create function @extschema@.gov_upsert_prices(owner_id text, prices jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    owner constant text := $1;
    wanted @extschema@.gov_prices[];
    places int[];
    broken text;
    failing_row text;
begin
    if owner is null then
        perform @extschema@._gov_require_unpinned('gov_upsert_prices() for everybody');
    else
        perform @extschema@._gov_require_owner(owner);
    end if;

    select w.wanted, w.places
    into wanted, places
    from @extschema@._gov_wanted_prices(owner, $2, 100) w;

    insert into @extschema@.gov_prices as t (owner_id, capability_id, quantity, match, price, per, valid_from)
    select w.owner_id, w.capability_id, w.quantity, w.match, w.price, w.per, w.valid_from
    from unnest(wanted) w
    order by w.capability_id collate "C", w.quantity collate "C", w.match, w.valid_from
    on conflict (owner_id, capability_id, quantity, match, valid_from) do update
        set (price, per) = (excluded.price, excluded.per)
        where (t.price, t.per) is distinct from (excluded.price, excluded.per);

    return (
        select jsonb_agg(
            @extschema@._gov_json(@extschema@._gov_price_of_item(
                owner,
                jsonb_build_object('capabilityId', w.capability_id, 'quantity', w.quantity, 'match', w.match, 'validFrom', w.valid_from),
                w.valid_from))
            order by i.n)
        from unnest(places) with ordinality i (place, n)
        cross join lateral unnest(wanted[i.place:i.place]) w);
exception
    when check_violation or foreign_key_violation then
        get stacked diagnostics broken = constraint_name, failing_row = pg_exception_detail;
        perform @extschema@._gov_raise_broken_rule('@extschema@.gov_prices'::regclass, broken, coalesce(nullif(failing_row, ''), sqlerrm));
        raise;
    when cardinality_violation then
        perform @extschema@._gov_raise_seen_twice();
end
$$;

comment on function @extschema@.gov_upsert_prices(text, jsonb) is
$$Sets prices: makes new ones, and changes existing ones, which owner, capability, quantity, match and validFrom identify. They are in
force in every session when the transaction commits. What was charged before stays as it was.

owner_id: one of the vendor's customers; null: everybody. An owner's own prices go before everybody's
prices: an array of 1 to 100 objects, or {"prices": [...]}, with the keys
    capabilityId or featureId or currencyId (required; what is charged, such as "ai-dollars"), quantity (required; what has the price,
    such as "input"), match (the dimensions that a call must have, such as {"model": "large"}; {}, the default: any call), price
    (in the capability's unit, 0 or more, at most 18 decimals; required on create), per (for how many of the quantity, a whole number
    of 1 or more, default 1), validFrom (ISO 8601; absent: from now on, unless the price that is in force says the same, which then
    stays); omitted keys keep the value of the price of that validFrom, or without one of the price that is in force
result: the stored prices as an array in the order given, with id, ownerId, createdAt and updatedAt
errors: GV003 the owner is frozen; 22004 null; 22023 malformed, unknown key, no item, a required key missing; 23503 unknown capability; 42501 an owner that the
    session may not see or change; 54000 more than 100 items
since: 1.1.0$$;

create function @extschema@.gov_list_prices
(
    owner_id text,
    after text default null,
    before text default null,
    page_size int default 20,
    capability_id text default null,
    quantity text default null
)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if owner_id is not null then
        perform @extschema@._gov_require_owner(owner_id);
    end if;
    return @extschema@._gov_list(
        'prices',
        case when owner_id is null then '@extschema@.gov_prices r where r.owner_id is null and $1 is null'
            else '@extschema@.gov_prices r where r.owner_id = $1' end
        || $source$
                and ($2 ->> 'capabilityId' is null or r.capability_id = $2 ->> 'capabilityId')
                and ($2 ->> 'quantity' is null or r.quantity = $2 ->> 'quantity')
        $source$,
        array[
            'r.capability_id',
            'r.quantity',
            'r.match::text collate "C"',
            $key$to_char(r.valid_from at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') collate "C"$key$],
        '{a string, a string, a string, a string}'::text[],
        '@extschema@._gov_json(r)',
        owner_id,
        jsonb_build_object('capabilityId', capability_id, 'quantity', quantity),
        after,
        before,
        page_size);
end
$$;

comment on function @extschema@.gov_list_prices(text, text, text, int, text, text) is
$$A page of the prices of an owner, past, present and future ones, by capability, quantity, match and time.

owner_id: one of the vendor's customers; null: those of everybody
after: the "next" of an earlier page; before: the "prev" of one, for the page preceding it; page_size: 1 to 100;
capability_id: only those of this capability; quantity: only those of this quantity
result: {"data": [...], "pagination": {"next": cursor or null, "prev": cursor or null}}
errors: 42501 an owner that the session may not see; 22023 page_size out of range, both cursors, not a cursor of this list
since: 1.1.0$$;

create function @extschema@.gov_price
(
    owner_id text,
    capability_id text,
    quantities jsonb,
    dimensions jsonb default null,
    at timestamptz default null
)
returns numeric
language c
volatile
parallel unsafe
as 'MODULE_PATHNAME', 'gov_price_1_1';

comment on function @extschema@.gov_price(text, text, jsonb, jsonb, timestamptz) is
$$What quantities cost: the sum of each quantity times its price, exact, and rounded once, to 9 decimals, half away from zero. For a
quantity that price counts which the owner has itself, before everybody's; of those whose match the dimensions have, that
with most keys in its match, then the first by the bytes of its match, then the latest that was in force at the time.

owner_id: one of the vendor's customers; capability_id: what is charged, such as 'ai-dollars'
quantities: a JSON object of 1 to 32 numbers, such as '{"input": 900, "output": 300}'; negative ones for a correction
dimensions: those of the call, a flat JSON object; at: for a use of that time; null: now, by the engine's clock
result: an amount in the capability's unit
errors: 22004 null owner_id, capability_id or quantities; 22023 a malformed argument, a quantity without a price; 22003 the sum has
    more than 18 digits before the point; 42704 unknown capability; 42501 not the session's owner; 54000 more than 32 quantities, or
    more bytes than governance.dimensions_max
since: 1.1.0$$;
