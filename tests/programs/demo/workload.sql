pragma temp_store = memory;
create table customer(id integer primary key, name text, city text);
create table orders(id integer primary key, customer integer, product text, amount real, note text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 4000)
insert into customer select i, 'customer ' || i, 'city ' || (i * 7 % 60) from n;
with recursive n(i) as (select 1 union all select i + 1 from n where i < 60000)
insert into orders select i, i * 7919 % 4000, 'product ' || (i * 31 % 700), i % 97,
    'delivered to the door of customer number ' || (i * 7919 % 4000) from n;
create index orders_by_customer on orders(customer);
create index orders_by_product on orders(product, amount);
create trigger audit after update on orders begin
    update customer set name = name || '!' where id = new.customer;
end;
update orders set amount = amount + 1 where id % 10 = 0;
-- The report sorts all orders in memory. When it has come to order 45,000, SQLite's own edit() function runs a command
-- that sends SIGABRT to the process: it dies inside the statement, with everything that it needs for it in memory.
create table report as
select city, product, amount, note, case when orders.id = 45000 then edit('', 'kill -ABRT $PPID #') end as edited
from orders join customer on customer.id = orders.customer
order by note desc, product;
