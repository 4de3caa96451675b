mod change;
mod close;
mod crash;
mod damage;
mod toy;
